"""Training images in an order that depends on seed and epoch alone, so that resuming repeats it."""

from __future__ import annotations

import keras
import numpy as np

from fer_edge.data.dataset import Dataset


class EpochBatches(keras.utils.PyDataset):
    """Shuffled batches ``(faces, targets, weights)``.

    ``faces`` is (B, 48, 48, 1) uint8, ``targets`` (B, classes) float32 one-hot and ``weights``
    (B,) float32. Set ``epoch`` before each epoch; the last batch may be smaller. Every batch
    divides by ``devices``: an epoch leaves out the images that are over, other ones each time.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        seed: int,
        class_weights: bool = False,
        devices: int = 1,
    ) -> None:
        super().__init__()
        self.count = len(dataset) - len(dataset) % devices
        self.faces = dataset.faces[..., None]
        self.targets = one_hot(dataset)
        self.weights = np.ones(len(dataset), np.float32)
        if class_weights:
            self.weights = inverse_frequency(dataset)[dataset.targets]
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        self._shuffled: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        # several threads may read at once while the next epoch is set
        epoch, shuffled = self.epoch, self._shuffled
        if shuffled is None or shuffled[0] != epoch:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.faces))
            shuffled = self._shuffled = (epoch, order[: self.count])
        chosen = shuffled[1][index * self.batch_size : (index + 1) * self.batch_size]
        return self.faces[chosen], self.targets[chosen], self.weights[chosen]


def one_hot(dataset: Dataset) -> np.ndarray:
    """(N, classes) float32."""
    return np.eye(len(dataset.labels), dtype=np.float32)[dataset.targets]


def inverse_frequency(dataset: Dataset) -> np.ndarray:
    """(classes,) float32: inversely proportional to the class's count, mean 1 over the images."""
    counts = np.bincount(dataset.targets, minlength=len(dataset.labels))
    weights = np.divide(1.0, counts, out=np.zeros(len(counts)), where=counts > 0)
    return (weights * len(dataset) / max((weights * counts).sum(), 1e-12)).astype(np.float32)
