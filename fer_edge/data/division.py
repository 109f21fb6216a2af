"""Dividing a dataset anew into training and test, where a paper or a dataset asks for it.

CK+ comes without splits, and some papers pool FER2013 and split it by chance. A division is
determined by its parameters and the dataset; what it gave is recorded as a fingerprint, since a
later version of scikit-learn may draw other numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from fer_edge.data.dataset import Dataset
from fer_edge.data.sampling import oversample
from fer_edge.data.splits import TRAINING
from fer_edge.errors import FerEdgeError, require_extra

TEST = "Test"
"""The held-out split of a divided dataset."""

How = Literal["by-image", "by-subject"]


@dataclass(frozen=True)
class Division:
    """How all faces of a dataset are divided into ``Training`` and ``Test``.

    Attributes:
        how: ``by-image`` draws faces by chance, each class in proportion; ``by-subject`` draws
            persons, so that nobody stands on both sides, and keeps the classes' proportions as
            well as that allows.
        test_share: of the faces (by image), or of the folds that persons are dealt into, rounded
            to 1 / n (by subject).
        seed: of the draw. By subject, n seeds from a multiple of n on are the n folds of one deal:
            together they test everybody once.
        leaky: oversample every class to the largest *before* dividing, as some papers do: copies
            of one face then stand on both sides.
    """

    how: How
    test_share: float
    seed: int
    leaky: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def divide(dataset: Dataset, division: Division) -> Dataset:
    """The dataset's faces, in its order, with the splits ``Training`` and ``Test``.

    Raises:
        FerEdgeError: the dataset does not say who is in its pictures, or is too small.
    """
    require_extra("sklearn", "train")
    if not division.test_share:
        raise FerEdgeError("a test share of 0 leaves no faces to test on", "set data.test_share")
    if division.leaky:
        dataset = oversample(dataset, division.seed)
    try:
        test = (_by_subject if division.how == "by-subject" else _by_image)(dataset, division)
    except ValueError as error:
        raise FerEdgeError(
            f"cannot divide {dataset.name} {division.how.replace('-', ' ')} with a test share of "
            f"{division.test_share:g}: {_fewest(dataset)}",
            f"give at least {_needed(division)} of each label, better some dozens, or take another "
            "data.test_share",
        ) from error
    splits = np.full(len(dataset), TRAINING)
    splits[test] = TEST
    return replace(dataset, splits=splits)


def describe_division(roles: Mapping[str, Any]) -> str:
    """How a model's dataset was divided anew, and what that does to its figures, in a few words.

    Args:
        roles: what a run folder (``data.json``) or a bundle (its manifest's ``dataset``) records of
            the dataset; ``division`` is looked at.

    Returns:
        Such as ``divided by subject: nobody stands on both sides``; empty where the dataset's own
        splits served.
    """
    recorded = roles.get("division")
    if not recorded:
        return ""
    if recorded["leaky"]:
        return "LEAKY: oversampled before dividing, copies of one picture stand on both sides"
    if recorded["how"] == "by-subject":
        return "divided by subject: nobody stands on both sides"
    return "divided by image: the same people may stand on both sides"


def _needed(division: Division) -> int:
    """Faces of a label of which one at least goes to either side."""
    return math.ceil(1 / min(division.test_share, 1 - division.test_share))


def _fewest(dataset: Dataset) -> str:
    """How many faces the label has of which there are fewest."""
    counts = np.bincount(dataset.targets, minlength=len(dataset.labels))
    label = int(np.where(counts, counts, len(dataset) + 1).argmin())
    faces = "1 face" if counts[label] == 1 else f"{counts[label]:,} faces"
    return f"it has {faces} of '{dataset.labels[label]}'"


def _by_image(dataset: Dataset, division: Division) -> np.ndarray:
    from sklearn.model_selection import train_test_split

    _, test = train_test_split(
        np.arange(len(dataset)),
        test_size=division.test_share,
        stratify=dataset.targets,
        random_state=division.seed,
    )
    return test


def _by_subject(dataset: Dataset, division: Division) -> np.ndarray:
    from sklearn.model_selection import StratifiedGroupKFold

    if dataset.subjects is None:
        raise FerEdgeError(
            f"{dataset.name} cannot be divided by subject: it does not say who is in its pictures",
            "use data.divide = 'by-image', or CK+48, whose file names hold the subject",
        )
    count = max(round(1 / division.test_share), 2)
    deal, fold = divmod(division.seed, count)
    folds = StratifiedGroupKFold(count, shuffle=True, random_state=deal)
    return list(folds.split(dataset.faces, dataset.targets, dataset.subjects))[fold][1]
