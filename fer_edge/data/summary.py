"""A dataset at a glance: what it holds, in numbers and as a contact sheet."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.data.dataset import Dataset
from fer_edge.data.learnable import shortcomings
from fer_edge.errors import FerEdgeError, require_extra
from fer_edge.face import FACE_SIZE
from fer_edge.files import atomic_path

_SHEET_COLUMNS = 16
_MARGIN = 88
"""Pixels left of a contact sheet's rows, for the label."""


@dataclass(frozen=True)
class Summary:
    """What a dataset holds."""

    name: str
    fingerprint: str
    faces: int
    labels: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    """Faces by split, then by label."""
    votes: bool
    """Whether FER+ votes are joined."""
    skipped: int
    """Bad rows and pictures left out."""
    shortcomings: tuple[str, ...]
    """What a network that is trained on it would lack."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def summarise(dataset: Dataset) -> Summary:
    """Count a dataset's faces by split and label."""
    counts = {}
    for split in dataset.split_names:
        targets = dataset.targets[dataset.splits == split]
        numbers = np.bincount(targets, minlength=len(dataset.labels)).tolist()
        counts[split] = dict(zip(dataset.labels, numbers, strict=True))
    return Summary(
        name=dataset.name,
        fingerprint=dataset.fingerprint(),
        faces=len(dataset),
        labels=dataset.labels,
        counts=counts,
        votes=dataset.votes is not None,
        skipped=len(dataset.skipped),
        shortcomings=shortcomings(dataset),
    )


def write_contact_sheet(dataset: Dataset, target: Path, seed: int = 0) -> None:
    """Draw a row of faces for each label, taken at random from all splits, as a PNG.

    Raises:
        FerEdgeError: the name does not end in .png, OpenCV is missing, or it cannot be written.
    """
    if target.suffix.lower() != ".png":
        raise FerEdgeError(
            f"a contact sheet is called *.png, got '{target.name}'", "choose such a name"
        )
    require_extra("cv2", "device")
    import cv2

    rng = np.random.default_rng(seed)
    height, width = len(dataset.labels) * FACE_SIZE, _MARGIN + _SHEET_COLUMNS * FACE_SIZE
    sheet = np.full((height, width), 255, np.uint8)
    for row, label in enumerate(dataset.labels):
        top = row * FACE_SIZE
        place, font = (6, top + FACE_SIZE // 2 + 5), cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(sheet, label, place, font, 0.5, 0, 1, cv2.LINE_AA)
        members = np.flatnonzero(dataset.targets == row)
        chosen = rng.choice(members, min(_SHEET_COLUMNS, len(members)), replace=False)
        for column, index in enumerate(np.sort(chosen)):
            left = _MARGIN + column * FACE_SIZE
            sheet[top : top + FACE_SIZE, left : left + FACE_SIZE] = dataset.faces[index]
    with atomic_path(target) as temporary:
        temporary.write_bytes(cv2.imencode(".png", sheet)[1].tobytes())
