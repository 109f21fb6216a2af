"""Composed frames with what their cells are taught, a new set for every epoch."""

from __future__ import annotations

import keras
import numpy as np

from fer_edge.data.detection.frames import NOBODY, Composer, Truth
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
        mined: share of each batch that hard negatives take, where there are any.

    Attributes:
        mined: numbers of this epoch's empty frames that are hard, the hardest first.
        mined_in_batch: how many a batch takes.
    """

    def __init__(
        self, composer: Composer, count: int, batch_size: int, seed: int, mined: float = 0
    ) -> None:
        super().__init__(workers=2, max_queue_size=8)
        self.composer, self.batch_size, self.seed = composer, min(batch_size, count), seed
        self.batches = count // self.batch_size
        self.epoch = 0
        self.mined_in_batch = round(mined * self.batch_size)
        self.mined = np.empty(0, int)

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        made = [self._frame(index, place) for place in range(self.batch_size)]
        size = self.composer.composition.size
        frames = np.stack([frame for frame, _ in made])[..., None]
        return frames, np.stack([targets(truth, size) for _, truth in made])

    def _frame(self, index: int, place: int) -> tuple[np.ndarray, Truth]:
        if len(self.mined) and place < self.mined_in_batch:
            number = self.mined[(index * self.mined_in_batch + place) % len(self.mined)]
            return self.empty_frame(self.epoch, int(number)), NOBODY
        number = index * self.batch_size + place
        return self.composer.frame(np.random.default_rng([self.seed, self.epoch, number]))

    def empty_frame(self, epoch: int, number: int) -> np.ndarray:
        """One of an epoch's empty frames, (rows, columns) uint8."""
        return self.composer.empty_frame(np.random.default_rng([self.seed, epoch, number, 1]))
