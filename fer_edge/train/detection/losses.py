"""What a detector's answers cost: the score, the box and the landmarks, in one number."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from fer_edge.train.devices import over_devices

Tensor = Any

BOX_WEIGHT = 2.0
LANDMARK_WEIGHT = 0.5
FOCUS = 2.0
"""Power of the score's error that weighs it: cells that are right already count for little."""
_HUBER = 0.1
"""Strides of error from which a landmark's loss is linear."""


@keras.saving.register_keras_serializable(package="fer_edge")
class DetectionLoss(keras.losses.Loss):
    """Quality focal loss of the score, GIoU of the box, Huber loss of the landmarks.

    A face's score is taught the overlap that its box has reached (Generalized Focal Loss, arXiv
    2006.04388), so that of several boxes of one face the best placed one is the surest. All sums
    are divided by the batch's taught cells.

    Call arguments:
        y_true: (B, cells, 15), ``assigning.targets``.
        y_pred: (B, cells, 15): the score before the sigmoid, box and landmarks as
            ``fer_edge.detection.PARTS`` describes.
    """

    def __init__(self, name: str = "detection", **named: Any) -> None:
        # the sums are divided here, not by the number of cells
        super().__init__(name=name, **{**named, "reduction": "sum"})

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        y_true, y_pred = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        face = ops.cast(y_true[..., 0] > 0, "float32")
        asked = ops.cast(y_true[..., 0] >= 0, "float32")
        # each device gives its part of the sum; its faces alone would be a fraction of the batch's
        count = ops.maximum(over_devices(ops.sum(face)), 1.0)
        corners = corners_of(y_pred)
        quality, giou = overlaps(y_true[..., 1:5], corners)
        wish = face * ops.stop_gradient(ops.clip(quality, 0.0, 1.0))
        score = ops.sigmoid(y_pred[..., 0])
        entropy = ops.binary_crossentropy(wish, y_pred[..., 0], from_logits=True)
        scores = asked * ops.abs(wish - score) ** FOCUS * entropy
        away = ops.abs(y_true[..., 5:] - y_pred[..., 5:])
        huber = ops.where(away < _HUBER, ops.square(away) / (2 * _HUBER), away - _HUBER / 2)
        # relative to the face: a pixel of a small one is more than of a large one
        side = ops.maximum(y_true[..., 4] - y_true[..., 2], 0.5)
        places = face * ops.mean(huber, axis=-1) / side
        boxes = face * (1 - giou)
        return (scores + BOX_WEIGHT * boxes + 4 * LANDMARK_WEIGHT * places) / count


@keras.saving.register_keras_serializable(package="fer_edge")
class TaughtOverlap(keras.metrics.Mean):
    """Mean intersection over union of the boxes of the cells that are taught a face."""

    def __init__(self, name: str = "overlap", **named: Any) -> None:
        super().__init__(name=name, **named)

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> None:
        quality, _ = overlaps(y_true[..., 1:5], corners_of(ops.cast(y_pred, "float32")))
        super().update_state(quality, sample_weight=ops.cast(y_true[..., 0] > 0, "float32"))


def corners_of(said: Tensor) -> Tensor:
    """Left, top, right and bottom in strides from the cell's centre, (…, 4)."""
    middle, half = said[..., 1:3], ops.exp(ops.minimum(said[..., 3:5], 6.0)) / 2
    return ops.concatenate([middle - half, middle + half], axis=-1)


def overlaps(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Intersection over union and its generalized form (arXiv 1902.09630) of boxes (…, 4)."""
    areas = [
        ops.maximum(box[..., 2] - box[..., 0], 0.0) * ops.maximum(box[..., 3] - box[..., 1], 0.0)
        for box in (one, other)
    ]
    low, high = ops.maximum(one[..., :2], other[..., :2]), ops.minimum(one[..., 2:], other[..., 2:])
    both = ops.maximum(high[..., 0] - low[..., 0], 0.0) * ops.maximum(
        high[..., 1] - low[..., 1], 0.0
    )
    union = areas[0] + areas[1] - both + 1e-6
    low, high = ops.minimum(one[..., :2], other[..., :2]), ops.maximum(one[..., 2:], other[..., 2:])
    hull = (high[..., 0] - low[..., 0]) * (high[..., 1] - low[..., 1]) + 1e-6
    return both / union, both / union - (hull - union) / hull
