"""Hard negatives: empty frames in which the network sees faces, shown to it again."""

from __future__ import annotations

import keras
import numpy as np

from fer_edge.batch_norm import answers, estimate, with_moments
from fer_edge.detection import PARTS
from fer_edge.train.averaging import Statistics
from fer_edge.train.detection.batches import FrameBatches

_KEPT = 0.25
"""Share of the candidates that are shown again."""
_USES = 2
"""Of each hard frame in an epoch."""


class HardNegatives(keras.callbacks.Callback):
    """Before each epoch but the first, looks through empty frames for what is taken for a face.

    What is found follows from the weights, the seed and the epoch, so that a run that was cut off
    finds the same.

    Args:
        batches: that show them.
        statistics: for the batch norms, whose own lag behind the weights.
    """

    def __init__(self, batches: FrameBatches, statistics: Statistics) -> None:
        super().__init__()
        self.batches, self.statistics = batches, statistics

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        wanted = -(-len(self.batches) * self.batches.mined_in_batch // _USES)
        if not epoch or not wanted:
            return
        network = self.statistics.network_of(self.model)
        batch = self.statistics.batch
        network = with_moments(network, estimate(network, self.statistics.images, batch))
        numbers = np.arange(max(wanted, round(wanted / _KEPT)))
        highest: list[np.ndarray] = []
        for first in range(0, len(numbers), batch):
            frames = [self.batches.empty_frame(epoch, n) for n in numbers[first : first + batch]]
            (maps,) = answers(network, np.stack(frames), batch)
            scores = [each.reshape(len(frames), -1) for each in maps[:: len(PARTS)]]
            highest.append(np.concatenate(scores, axis=1).max(axis=1))
        order = np.argsort(-np.concatenate(highest), kind="stable")
        self.batches.mined = numbers[order[:wanted]]
