"""Facial expression recognition for embedded devices: train, quantize with proof, run."""

__version__ = "0.1.0"
