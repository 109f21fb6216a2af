"""What a dataset lacks for a network to learn its labels from."""

from __future__ import annotations

import numpy as np

from fer_edge.data.dataset import Dataset
from fer_edge.data.rejects import log
from fer_edge.data.splits import TRAINING, UNSPLIT
from fer_edge.errors import FerEdgeError

FEWEST = 4
"""Pictures of a label from which on a quarter of them, the test share of fine-tuning, is one."""


def require_learnable(training: Dataset) -> None:
    """Warn of labels that training lacks, where there are at least two that it has.

    Raises:
        FerEdgeError: all its faces have one label.
    """
    present = [label for label, count in _counts(training).items() if count]
    if len(present) == 1:
        raise FerEdgeError(
            f"all {len(training):,} training faces of {training.name} are of the label "
            f"'{present[0]}': there is nothing to tell apart",
            "give pictures of at least two labels, in a folder each",
        )
    if missing := _missing(training):
        log.warning("%s: %s", training.name, missing)


def shortcomings(dataset: Dataset) -> tuple[str, ...]:
    """What will be refused or warned of when a network is to be trained on a dataset."""
    parts = dataset.split_names
    training = dataset.select(TRAINING) if TRAINING in parts else dataset
    counts = _counts(training)
    found = []
    if sum(count > 0 for count in counts.values()) == 1:
        found.append("all faces have one label: there is nothing to tell apart")
    elif missing := _missing(training):
        found.append(missing)
    few = [label for label, count in counts.items() if 0 < count < FEWEST]
    if few and parts == (UNSPLIT,):
        found.append(
            f"fewer than {FEWEST} faces of {', '.join(few)}: too few to be divided into training "
            "and test"
        )
    return tuple(found)


def _missing(training: Dataset) -> str:
    labels = [label for label, count in _counts(training).items() if not count]
    if not labels:
        return ""
    return (
        f"no face to train on of {', '.join(labels)}: a network will not learn to tell them; "
        "labels.txt beside the folders lists those to be learned alone"
    )


def _counts(dataset: Dataset) -> dict[str, int]:
    numbers = np.bincount(dataset.targets, minlength=len(dataset.labels)).tolist()
    return dict(zip(dataset.labels, numbers, strict=True))
