"""What is wrong with a dataset: copies, contradicting labels, pictures on both sides of a split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from fer_edge.data.dataset import Dataset
from fer_edge.data.near import near_pairs


@dataclass(frozen=True)
class Overlap:
    """Identical pictures that two splits share."""

    first: str
    second: str
    groups: int
    """Distinct pictures that stand in both."""
    faces_first: int
    """Faces of the first split that also stand in the second."""
    faces_second: int
    """Faces of the second split that also stand in the first."""


@dataclass(frozen=True)
class AuditReport:
    """Findings on one dataset. A group is a set of two or more identical pictures."""

    name: str
    fingerprint: str
    faces: int
    duplicate_groups: int
    duplicate_faces: int
    """Faces that belong to some group."""
    conflicting_groups: int
    """Groups whose members have different labels."""
    groups_across_splits: int
    overlaps: tuple[Overlap, ...]
    """For each pair of splits, in the dataset's order."""
    near_pairs: int | None
    """Pairs of distinct but almost equal pictures (see ``near``); None if not looked for."""
    near_pairs_across_splits: int | None
    """Those whose first faces stand in different splits."""
    mirrored_pairs: int | None
    """Pairs of which one is almost the mirror image of the other."""
    constant_faces: int
    """Pictures of one gray value."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def audit(dataset: Dataset, *, near: bool = True) -> AuditReport:
    """Look for copies, conflicts and leaks.

    Args:
        dataset: all of its splits.
        near: also look for near duplicates, which takes most of the time.
    """
    groups = picture_groups(dataset.faces)
    sizes = np.bincount(groups)
    in_group = sizes[groups] > 1
    labels_of = _distinct_per_group(groups, dataset.targets)
    split_numbers = np.unique(dataset.splits, return_inverse=True)[1]
    splits_of = _distinct_per_group(groups, split_numbers)
    pairs = mirrored = None
    if near:
        # one face for each group: its copies are not near duplicates but exact ones
        first = np.unique(groups, return_index=True)[1]
        pairs = first[near_pairs(dataset.faces[first])]
        mirrored = near_pairs(dataset.faces[first], mirrored=True)
    return AuditReport(
        name=dataset.name,
        fingerprint=dataset.fingerprint(),
        faces=len(dataset),
        duplicate_groups=int((sizes > 1).sum()),
        duplicate_faces=int(in_group.sum()),
        conflicting_groups=int((labels_of > 1).sum()),
        groups_across_splits=int((splits_of > 1).sum()),
        overlaps=tuple(
            _overlap(dataset, groups, *names) for names in combinations(dataset.split_names, 2)
        ),
        near_pairs=None if pairs is None else len(pairs),
        near_pairs_across_splits=None if pairs is None else _crossing(dataset, pairs),
        mirrored_pairs=None if mirrored is None else len(mirrored),
        constant_faces=int((np.ptp(dataset.faces, axis=(1, 2)) == 0).sum()),
    )


def picture_groups(faces: np.ndarray) -> np.ndarray:
    """(N, H, W) uint8 → (N,) group numbers from 0: equal numbers, identical pictures."""
    seen: dict[bytes, int] = {}
    return np.array([seen.setdefault(face.tobytes(), len(seen)) for face in faces], dtype=np.int64)


def leaked(dataset: Dataset, train_splits: Sequence[str], test_splits: Sequence[str]) -> np.ndarray:
    """Which faces of the test splits training has seen, as identical pictures.

    Returns:
        (N,) bool over the whole dataset; True only in ``test_splits``.

    Raises:
        FerEdgeError: the dataset has no such split.
    """
    seen = {face.tobytes() for face in dataset.select(list(train_splits)).faces}
    dataset.select(list(test_splits))
    mask = np.isin(dataset.splits, list(test_splits))
    for position in np.flatnonzero(mask):
        mask[position] = dataset.faces[position].tobytes() in seen
    return mask


def drop_leaks(dataset: Dataset, keep: Sequence[str]) -> Dataset:
    """The dataset without those faces of other splits that also stand in the splits to keep.

    Args:
        keep: splits that measure, validation and test; they stay whole.

    Raises:
        FerEdgeError: the dataset has no such split.
    """
    others = [name for name in dataset.split_names if name not in keep]
    if not others:
        return dataset
    return dataset.subset(~leaked(dataset, keep, others))


def _distinct_per_group(groups: np.ndarray, values: np.ndarray) -> np.ndarray:
    """How many different values each group has."""
    pairs = np.unique(np.stack([groups, values.astype(np.int64)], 1), axis=0)
    return np.bincount(pairs[:, 0])


def _overlap(dataset: Dataset, groups: np.ndarray, first: str, second: str) -> Overlap:
    in_first, in_second = dataset.splits == first, dataset.splits == second
    shared = np.intersect1d(groups[in_first], groups[in_second])
    is_shared = np.isin(groups, shared)
    return Overlap(
        first,
        second,
        len(shared),
        int((is_shared & in_first).sum()),
        int((is_shared & in_second).sum()),
    )


def _crossing(dataset: Dataset, pairs: np.ndarray) -> int:
    return int((dataset.splits[pairs[:, 0]] != dataset.splits[pairs[:, 1]]).sum())
