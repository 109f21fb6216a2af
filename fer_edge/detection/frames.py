"""From a frame to the picture that a detector looks at, and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fer_edge.errors import FerEdgeError
from fer_edge.face import Box, Pixels
from fer_edge.opencv import load_opencv


def check_min_face(fraction: float) -> float:
    """Return ``fraction``; FerEdgeError unless it is above 0 and at most 1."""
    if not 0 < fraction <= 1:
        raise FerEdgeError(
            f"--min-face is a fraction of the frame, got {fraction:g}",
            "give a number above 0 and at most 1, such as 0.15",
        )
    return fraction


def fit(gray: Pixels, size: tuple[int, int]) -> tuple[Pixels, float]:
    """Fit a frame into ``size``, columns and rows, with its proportions kept.

    It lies in the upper left corner; what is left over is black.

    Returns:
        The picture, ``gray`` itself where it has this size, and its pixels over those of ``gray``.
    """
    columns, rows = size
    height, width = gray.shape
    if (width, height) == size:
        return gray, 1.0
    scale = min(columns / width, rows / height)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = load_opencv().INTER_AREA if scale < 1 else load_opencv().INTER_LINEAR
    small = load_opencv().resize(gray, inner, interpolation=how)
    if inner == size:
        return small, scale
    picture = np.zeros((rows, columns), np.uint8)
    picture[: inner[1], : inner[0]] = small
    return picture, scale


def enlarge(box: Sequence[float], scale: float) -> Box:
    """From pixels of a frame that was reduced by ``scale`` to pixels of the frame itself."""
    x, y, width, height = (round(float(value) / scale) for value in box)
    return x, y, width, height
