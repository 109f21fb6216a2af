"""What a face is to a model. Training and the device both import this and nothing else."""

from __future__ import annotations

FACE_SIZE = 48
"""Pixels along each side of the square crop."""

FACE_SHAPE = (FACE_SIZE, FACE_SIZE, 1)
"""Shape of one face as a model takes it: uint8, grayscale, 0 is black."""
