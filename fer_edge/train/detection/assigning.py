"""Which cells of a frame are taught a face, which nothing, and which are left alone.

A face is taught to the cells whose centres lie around its own, at the strides that are made for its
size; where two strides are, both are. Every other cell is background, but for those on faces that
are half hidden or of a size between.
"""

from __future__ import annotations

import numpy as np

from fer_edge.data.detection.frames import Truth
from fer_edge.detection import LANDMARKS, STRIDES, grid

RANGES = ((0.0, 56.0), (40.0, 120.0), (88.0, np.inf))
"""Heights of the faces, in pixels, that each stride is made for."""
NEAR = 1.0
"""Strides along each axis from a face's middle to the cells that are taught it, or a quarter of its
shorter side where that is less; the nearest cell always is."""
FACE, BACKGROUND, LEFT_ALONE = 1.0, 0.0, -1.0
"""The first number of a cell's target."""
WIDTH = 1 + 4 + 2 * len(LANDMARKS)
"""Numbers of a cell's target: its kind, the box's left, top, right and bottom, the landmarks; the
places in strides from the cell's centre."""


def targets(truth: Truth, size: tuple[int, int]) -> np.ndarray:
    """What each cell of a frame is taught, (cells, 15) float32.

    Args:
        truth: of the frame.
        size: columns and rows.
    """
    cells = grid(size)
    result = np.zeros((len(cells), WIDTH), np.float32)
    for box in truth.ignored:
        result[_inside(cells, box), 0] = LEFT_ALONE
    # the smaller face wins a cell that two faces claim
    for index in np.argsort(-truth.boxes[:, 3]):
        _teach(result, cells, truth.boxes[index], truth.landmarks[index])
    return result


def _teach(result: np.ndarray, cells: np.ndarray, box: np.ndarray, points: np.ndarray) -> None:
    middle = box[:2] + box[2:] / 2
    away = np.abs(cells[:, :2] - middle).max(axis=1)
    for stride, (least, most) in zip(STRIDES, RANGES, strict=True):
        if not least <= box[3] < most:
            continue
        own = cells[:, 2] == stride
        reach = max(min(NEAR * stride, box[2:].min() / 4), away[own].min())
        taught = np.flatnonzero(own & (away <= reach))
        # beside those that are taught it, cells within the middle half are not asked
        around = own & (away <= max(box[2:].min() / 4, reach))
        around &= result[:, 0] == BACKGROUND
        result[around, 0] = LEFT_ALONE
        centres = cells[taught, :2]
        corners = np.concatenate([box[:2] - centres, box[:2] + box[2:] - centres], axis=1)
        places = (points[None] - centres[:, None]).reshape(len(taught), -1)
        result[taught, 0] = FACE
        result[taught, 1:] = np.concatenate([corners, places], axis=1) / stride


def _inside(cells: np.ndarray, box: np.ndarray) -> np.ndarray:
    return ((cells[:, :2] >= box[:2]) & (cells[:, :2] <= box[:2] + box[2:])).all(axis=1)
