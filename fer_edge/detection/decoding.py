"""From the numbers of a detector's cells to boxes, scores and landmarks in pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Size = tuple[int, int]
"""Columns and rows of a frame, in pixels."""

STRIDES = (8, 16, 32)
"""Pixels from cell to cell; the largest faces are found at the last one."""

LANDMARKS = ("right_eye", "left_eye", "nose", "mouth_right", "mouth_left")
"""In the order of the output; right and left are the person's own."""

PARTS = {"score": 1, "box": 4, "landmarks": 2 * len(LANDMARKS)}
"""What each cell says, and in how many numbers: a score before the sigmoid; the box's centre from
the cell's and the logarithm of its sides, x before y; each landmark's place from the cell's centre.
Lengths are in strides."""

SIZES: tuple[Size, ...] = ((320, 240), (160, 120))
"""Frames that one set of weights is exported for."""
RELIABLE = 32
"""Height of a face, in pixels of a network's frame, from which on it is found reliably."""
WHOLE = "whole"
"""Name of the layer that brings a frame to its ``padded`` sides."""

OVERLAP = 0.4
"""Intersection over union above which two boxes are one face."""
MOST_CELLS = 300
"""With the best scores, taken into the suppression."""
_LARGEST = 6.0  # logarithm of a side in strides; keeps exp finite whatever a network says


@dataclass(frozen=True)
class Detections:
    """Faces found in one frame, best first.

    Attributes:
        boxes: (N, 4) float32, x, y, width, height in pixels; may reach over the border.
        scores: (N,) float32, 0 to 1.
        landmarks: (N, 5, 2) float32, x and y in pixels, in the order of ``LANDMARKS``.
    """

    boxes: Floats
    scores: Floats
    landmarks: Floats

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, index: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Detections:
        """Those at ``index``, positions or a mask."""
        return Detections(self.boxes[index], self.scores[index], self.landmarks[index])

    def scaled(self, factor: float) -> Detections:
        """The same faces in a frame ``factor`` times as large."""
        return Detections(self.boxes * factor, self.scores, self.landmarks * factor)


def padded(size: Size) -> Size:
    """The sides that the network computes with: whole numbers of its largest stride.

    A convolution with stride 2 lies elsewhere over an odd side than over an even one, so that one
    set of weights would serve some sizes only.
    """
    last = STRIDES[-1]
    return math.ceil(size[0] / last) * last, math.ceil(size[1] / last) * last


@cache
def grid(size: Size) -> Floats:
    """Every cell's centre x, y and stride in pixels, (cells, 3), by stride, then row by row."""
    parts = []
    for stride in STRIDES:
        columns, rows = (side // stride for side in padded(size))
        y, x = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
        centres = (np.stack([x.ravel(), y.ravel()], axis=1) + 0.5) * stride
        parts.append(np.column_stack([centres, np.full(len(centres), stride)]))
    cells = np.concatenate(parts).astype(np.float32)
    cells.flags.writeable = False
    return cells


def decode(cells: Floats, scores: Floats, boxes: Floats, landmarks: Floats) -> Detections:
    """Turn what cells say into faces, best first, doubles included.

    Args:
        cells: (K, 3), rows of ``grid``.
        scores: (K,) before the sigmoid.
        boxes: (K, 4) as ``PARTS`` describes.
        landmarks: (K, 10) likewise.
    """
    order = np.argsort(-scores, kind="stable")[:MOST_CELLS]
    cells, stride = cells[order], cells[order, 2:]
    middle = cells[:, :2] + boxes[order, :2] * stride
    sides = np.exp(np.minimum(boxes[order, 2:], _LARGEST)) * stride
    points = landmarks[order].reshape(-1, len(LANDMARKS), 2) * stride[:, None]
    likely = 1 / (1 + np.exp(-np.clip(scores[order], -50, 50)))
    return Detections(
        np.concatenate([middle - sides / 2, sides], axis=1).astype(np.float32),
        likely.astype(np.float32),
        (points + cells[:, None, :2]).astype(np.float32),
    )


def suppress(found: Detections, overlap: float = OVERLAP) -> Detections:
    """Keep the best of the boxes that are one face."""
    if len(found) < 2:
        return found
    import cv2

    kept = cv2.dnn.NMSBoxes(found.boxes.tolist(), found.scores.tolist(), 0.0, overlap)
    return found.take(np.asarray(kept, dtype=np.intp).ravel())


def logit(probability: float) -> float:
    """What the sigmoid makes ``probability``, which is between 0 and 1."""
    return math.log(probability / (1 - probability))
