"""Training images in an order that depends on seed and epoch alone, so that resuming repeats it."""

from __future__ import annotations

import keras
import numpy as np

from fer_edge.data.dataset import Dataset
from fer_edge.train.mixing import Batch, mix
from fer_edge.train.recipe import AugmentTable, TargetsTable
from fer_edge.train.targets import Goal, goals


class EpochBatches(keras.utils.PyDataset):
    """Shuffled batches ``(faces, targets, weights)``.

    ``faces`` is (B, 48, 48, 1) uint8, ``targets`` (B, classes) float32, rows sum to 1, and
    ``weights`` (B,) float32; with heads (B, heads, classes) and (B, heads). Set ``epoch`` before
    each epoch; the last batch may be smaller. Every batch divides by ``devices``: an epoch leaves
    out the images that are over, other ones each time.

    Args:
        dataset: the training images.
        batch_size: of all devices together.
        seed: of the order and the mixing.
        class_weights, class_balance: as the recipe has them.
        devices: how many share each batch.
        goal: what the images are taught; None takes their labels.
        mixing: the recipe's [augment] table, of which mixup and CutMix are done here.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        seed: int,
        class_weights: bool = False,
        devices: int = 1,
        class_balance: float = 0.0,
        goal: Goal | None = None,
        mixing: AugmentTable | None = None,
    ) -> None:
        super().__init__()
        goal = goal or goals(dataset, TargetsTable())
        self.count = len(dataset) - len(dataset) % devices
        self.faces = dataset.faces[..., None]
        self.targets = goal.targets
        self.weights = goal.weights
        if class_weights:
            by_image = inverse_frequency(dataset)[dataset.targets]
            self.weights = (self.weights.T * by_image).T
        self.classes = dataset.targets
        self.class_balance = class_balance
        self.mixing = mixing or AugmentTable()
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
            rng = np.random.default_rng([self.seed, epoch])
            if self.class_balance:
                order = balanced_order(self.classes, self.class_balance, rng)
            else:
                order = rng.permutation(len(self.faces))
            shuffled = self._shuffled = (epoch, order[: self.count])
        chosen = shuffled[1][index * self.batch_size : (index + 1) * self.batch_size]
        batch = Batch(self.faces[chosen], self.targets[chosen], self.weights[chosen])
        rng = np.random.default_rng([self.seed, epoch, index, 1])
        faces, targets, weights = mix(batch, self.mixing, rng)
        return faces, targets, weights


def balanced_order(classes: np.ndarray, balance: float, rng: np.random.Generator) -> np.ndarray:
    """An epoch's images, as many as there are, the rare classes' more often than once.

    Args:
        classes: (N,) class numbers.
        balance: 0 leaves each class its share n / N; 1 gives every class the same; between, a class
            has a share in proportion to n to the power of 1 - ``balance``.
        rng: of all that is random.

    Returns:
        (N,) positions. Each image of a class comes as often as any other of it, give or take one.
    """
    counts = np.bincount(classes)
    present = np.flatnonzero(counts)
    wish = counts[present] ** (1 - balance)
    ends = np.round(np.cumsum(wish) / wish.sum() * len(classes)).astype(int)
    drawn = []
    for number, wanted in zip(present, np.diff([0, *ends]), strict=True):
        own = np.flatnonzero(classes == number)
        whole, rest = divmod(wanted, len(own))
        drawn += [np.tile(own, whole), rng.permutation(own)[:rest]]
    return rng.permutation(np.concatenate(drawn))


def inverse_frequency(dataset: Dataset) -> np.ndarray:
    """(classes,) float32: inversely proportional to the class's count, mean 1 over the images."""
    counts = np.bincount(dataset.targets, minlength=len(dataset.labels))
    weights = np.divide(1.0, counts, out=np.zeros(len(counts)), where=counts > 0)
    return (weights * len(dataset) / max((weights * counts).sum(), 1e-12)).astype(np.float32)
