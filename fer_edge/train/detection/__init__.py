"""Training of face detectors: which cell is taught what, the loss, batches of frames, the run."""
