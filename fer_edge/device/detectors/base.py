"""What every face detector has in common."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from fer_edge.face import Box, CropRule, Pixels
from fer_edge.opencv import load_opencv


class Detector(Protocol):
    """Finds the faces of one frame."""

    name: str
    """What a message and the summary call it, such as "haar" or a file's path."""
    crop_rule: CropRule
    """From this detector's boxes to FER2013's framing of a face."""
    tilts: Sequence[float]
    """How far the faces that ``detect`` gave last are tilted, in their order, in degrees clockwise;
    empty where a detector cannot tell."""

    def detect(self, gray: Pixels, near: Sequence[Box] = ()) -> list[Box]:
        """Find faces.

        Args:
            gray: the frame, (H, W) uint8; read, never written.
            near: where faces were a moment ago, in pixels of ``gray``; a detector that is slow over
                a whole frame may look there only, as long as it finds every one of them again.

        Returns:
            Face boxes in pixels of ``gray``, largest first.
        """
        ...


def shrink(gray: Pixels, max_width: int) -> tuple[Pixels, float]:
    """Reduce a frame to at most ``max_width`` columns.

    By a whole number where that leaves three quarters of them at least, which takes a tenth of the
    time (0.03 instead of 0.36 ms for 596×336).

    Returns:
        The reduced frame, ``gray`` itself where it is narrow enough, and its columns over those of
        ``gray``.
    """
    height, width = gray.shape
    if width <= max_width:
        return gray, 1.0
    cv2 = load_opencv()
    whole = math.ceil(width / max_width)
    if width // whole >= 0.75 * max_width and height >= whole:
        size = (width // whole, height // whole)
        gray = gray[: size[1] * whole, : size[0] * whole]
        return cv2.resize(gray, size, interpolation=cv2.INTER_AREA), 1 / whole
    scale = max_width / width
    size = (max_width, max(1, round(height * scale)))
    return cv2.resize(gray, size, interpolation=cv2.INTER_AREA), scale


def largest_first(boxes: Sequence[Box]) -> list[Box]:
    """Sort boxes by area, the largest first."""
    return sorted(boxes, key=lambda box: box[2] * box[3], reverse=True)


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes x, y, width, height; 0 to 1."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    return common / (one[2] * one[3] + other[2] * other[3] - common)
