"""A dataset seen with the labels of a model that was trained on another one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fer_edge.data.dataset import Dataset
from fer_edge.errors import FerEdgeError
from fer_edge.labels import label_index

_NOT_SHARED = 255


def with_shared_labels(dataset: Dataset, labels: tuple[str, ...]) -> Dataset:
    """The faces whose label a model has too, under the model's label list.

    Args:
        dataset: with labels of its own.
        labels: the model's, in the order of its output.

    Raises:
        FerEdgeError: fewer than two labels are shared.
    """
    numbers = [label_index(label, labels) for label in dataset.labels]
    shared = [
        label for label, number in zip(dataset.labels, numbers, strict=True) if number is not None
    ]
    if len(shared) < 2:
        raise FerEdgeError(
            f"the model gives {', '.join(labels)}; dataset {dataset.name} has "
            f"{', '.join(dataset.labels)}",
            "--shared-labels needs two labels that both have",
        )
    new = np.array([_NOT_SHARED if number is None else number for number in numbers], np.uint8)
    targets = new[dataset.targets]
    return replace(dataset, labels=labels, targets=targets).subset(targets != _NOT_SHARED)
