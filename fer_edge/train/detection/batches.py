"""Composed frames with what their cells are taught, a new set for every epoch."""

from __future__ import annotations

import keras
import numpy as np

from fer_edge.data.detection.frames import Composer
from fer_edge.train.detection.assigning import targets


class FrameBatches(keras.utils.PyDataset):
    """Batches ``(frames, targets)``: (B, rows, columns, 1) uint8 and (B, cells, 15) float32.

    A frame follows from the seed, the epoch and its number alone. Frames are composed in a thread
    of their own while the network learns.

    Args:
        composer: of the frames.
        count: frames of an epoch; what is over a whole batch is left out.
        batch_size: of all devices together.
        seed: of all that is random.
    """

    def __init__(self, composer: Composer, count: int, batch_size: int, seed: int) -> None:
        super().__init__(workers=2, max_queue_size=8)
        self.composer, self.batch_size, self.seed = composer, min(batch_size, count), seed
        self.batches = count // self.batch_size
        self.epoch = 0

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        epoch, first = self.epoch, index * self.batch_size
        made = [
            self.composer.frame(np.random.default_rng([self.seed, epoch, first + number]))
            for number in range(self.batch_size)
        ]
        size = self.composer.composition.size
        frames = np.stack([frame for frame, _ in made])[..., None]
        return frames, np.stack([targets(truth, size) for _, truth in made])
