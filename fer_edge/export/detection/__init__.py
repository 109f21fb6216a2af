"""Export of face detectors: one set of weights for several frame sizes, judged by recall."""
