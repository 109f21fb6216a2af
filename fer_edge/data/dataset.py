"""A labelled set of faces, held in memory as uint8."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fer_edge.errors import FerEdgeError
from fer_edge.printable import as_name


@dataclass(frozen=True)
class Dataset:
    """Faces with labels, each belonging to one split.

    Attributes:
        name: what the dataset calls itself, such as ``fer2013``.
        labels: class names in index order.
        faces: (N, 48, 48) uint8, grayscale.
        targets: (N,) uint8, index into ``labels``.
        splits: (N,) unicode, the split's name for each face.
        votes: (N, 10) uint8, FER+ votes in the order of ``ferplus.VOTE_COLUMNS``, or None.
        subjects: (N,) unicode, who is in the picture, or None where nobody knows.
        skipped: what ``skip_bad`` left out, a line each: where, and why.
    """

    name: str
    labels: tuple[str, ...]
    faces: np.ndarray
    targets: np.ndarray
    splits: np.ndarray
    votes: np.ndarray | None = None
    subjects: np.ndarray | None = None
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.faces)

    @property
    def split_names(self) -> tuple[str, ...]:
        """Names of the splits, in order of first appearance."""
        return tuple(dict.fromkeys(self.splits.tolist()))

    def select(self, split: str | Sequence[str]) -> Dataset:
        """The faces of one split or of several together, in the dataset's order.

        Raises:
            FerEdgeError: the dataset has no such split.
        """
        wanted = [split] if isinstance(split, str) else list(split)
        for name in wanted:
            if name not in self.split_names:
                raise FerEdgeError(
                    f"dataset {self.name} has no split '{name}'",
                    f"its splits are {', '.join(self.split_names)}",
                )
        return self.subset(np.isin(self.splits, wanted))

    def subset(self, index: np.ndarray) -> Dataset:
        """The faces at ``index`` (a boolean mask or integer positions)."""
        return replace(
            self,
            faces=self.faces[index],
            targets=self.targets[index],
            splits=self.splits[index],
            votes=None if self.votes is None else self.votes[index],
            subjects=None if self.subjects is None else self.subjects[index],
        )

    def fingerprint(self) -> str:
        """SHA-256 over labels, pixels, targets and splits: equal datasets, equal fingerprints.

        Votes, subjects and the name do not enter it.
        """
        digest = hashlib.sha256("\n".join(self.labels).encode())
        digest.update(np.ascontiguousarray(self.faces).data)
        digest.update(np.ascontiguousarray(self.targets, dtype=np.uint8).data)
        digest.update("\n".join(self.splits.tolist()).encode())
        return digest.hexdigest()


def name_of(path: Path) -> str:
    """What to call a dataset that says nothing of itself: its file or folder, without endings."""
    return as_name(path.resolve().name.lstrip(".").split(".")[0]) or "dataset"
