"""Which images the quantizer sees: training images only, as many of each class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fer_edge.data.dataset import Dataset
from fer_edge.errors import FerEdgeError


def calibration_images(
    dataset: Dataset, train_splits: Sequence[str], count: int, seed: int = 0
) -> np.ndarray:
    """Choose about ``count`` training images, balanced over the classes.

    A class with fewer images than its share gives all that it has.

    Returns:
        (M, 48, 48, 1) uint8, with M at most ``count`` and at least 1.

    Raises:
        FerEdgeError: ``count`` is smaller than the number of classes.
    """
    training = dataset.select(train_splits)
    classes = len(dataset.labels)
    if count < classes:
        raise FerEdgeError(
            f"{count} calibration images do not cover {classes} classes", "use at least 100"
        )
    rng = np.random.default_rng(seed)
    chosen = [
        rng.permutation(np.flatnonzero(training.targets == target))[: count // classes]
        for target in range(classes)
    ]
    # in random order, so that a part of the calibration set is balanced as well
    return training.faces[rng.permutation(np.concatenate(chosen))][..., None]
