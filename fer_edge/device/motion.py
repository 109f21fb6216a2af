"""Where a face box went from one frame to the next: optical flow of points inside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fer_edge.face import Pixels
from fer_edge.opencv import load_opencv

Region: TypeAlias = tuple[float, float, float, float]
"""Box x, y, width, height with fractions of a pixel."""

_POINTS = 250
"""In a frame: they are what the time goes into, so that many faces get fewer each."""
_GRID = (3, 6)
"""Points along each side of a box, at least and at most."""
_INNER = 0.8  # of the box's sides; nearer to the border there is background
_WINDOW = (11, 11)
_LEVELS = 2
_AGREEMENT = 1.0  # pixels that a point may be off after the way there and back
_FEWEST = 0.4  # of the points that must have come back
_GROWTH = 1.1  # in one frame, at most


def follow(before: Pixels, after: Pixels, boxes: Sequence[Region]) -> list[Region | None]:
    """Find boxes of one frame in the next.

    Points on a grid in each box are tracked forward and back again (Lucas and Kanade's method, on
    pyramids); the box moves and grows with the median of those that come back to where they began,
    as in Kalal, Mikolajczyk and Matas: Forward-Backward Error, ICPR 2010.

    Args:
        before: the frame with the boxes, (H, W) uint8.
        after: the next one, of the same shape.
        boxes: x, y, width, height in pixels of the frames.

    Returns:
        For each box where it is now, or None when too few of its points were found.
    """
    if not boxes:
        return []
    cv2 = load_opencv()
    side = int(np.clip(np.sqrt(_POINTS / len(boxes)), *_GRID))
    along = np.linspace(-_INNER / 2, _INNER / 2, side, dtype=np.float32)
    grid = np.stack(np.meshgrid(along, along), axis=-1).reshape(-1, 2)
    frames = np.array(boxes, np.float32)
    middles = frames[:, :2] + frames[:, 2:] / 2
    points = middles[:, None] + grid * frames[:, None, 2:]
    flat = points.reshape(-1, 1, 2)
    there, found, _ = cv2.calcOpticalFlowPyrLK(
        before, after, flat, None, winSize=_WINDOW, maxLevel=_LEVELS
    )
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(
        after, before, there, None, winSize=_WINDOW, maxLevel=_LEVELS
    )
    error = np.abs(back - flat).max(axis=(1, 2))
    good = (found[:, 0] == 1) & (found_back[:, 0] == 1) & (error < _AGREEMENT)
    return [
        _moved(box, start[kept], end[kept]) if kept.mean() >= _FEWEST else None
        for box, start, end, kept in zip(
            boxes,
            points,
            there.reshape(points.shape),
            good.reshape(len(boxes), -1),
            strict=True,
        )
    ]


def _moved(box: Region, start: npt.NDArray[np.float32], end: npt.NDArray[np.float32]) -> Region:
    """Move and scale a box as the median of its points, (N, 2) each, does."""
    x, y, width, height = box
    before, after = np.median(start, axis=0), np.median(end, axis=0)
    spread = np.abs(start - before).sum(axis=1)
    far = spread > 0.15 * (width + height) / 2  # near the middle, a small error is a large ratio
    growth = 1.0
    if far.any():
        growth = float(np.median(np.abs(end - after).sum(axis=1)[far] / spread[far]))
    growth = min(_GROWTH, max(1 / _GROWTH, growth))
    shift = np.median(end - start, axis=0)
    middle = before + shift + growth * (np.array([x + width / 2, y + height / 2]) - before)
    width, height = width * growth, height * growth
    return float(middle[0]) - width / 2, float(middle[1]) - height / 2, width, height
