"""A dataset at a glance: what it holds, in numbers and as a contact sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.data.dataset import Dataset
from fer_edge.data.learnable import shortcomings
from fer_edge.errors import FerEdgeError, require_extra
from fer_edge.face import FACE_SIZE, Pixels
from fer_edge.files import atomic_path
from fer_edge.plots import any_letters

_SHEET_COLUMNS = 16
_MARGIN = 88
"""Pixels left of a contact sheet's rows, for the labels where they are short."""
_GAP = 6
"""Pixels before and behind a label."""


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
        FerEdgeError: the name does not end in .png, OpenCV or matplotlib is missing, or it cannot
            be written.
    """
    if target.suffix.lower() != ".png":
        raise FerEdgeError(
            f"a contact sheet is called *.png, got '{target.name}'", "choose such a name"
        )
    for module in ("cv2", "matplotlib"):
        require_extra(module, "train")
    import cv2

    rng = np.random.default_rng(seed)
    names = _column_of_names(dataset.labels)
    height, margin = names.shape
    sheet = np.full((height, margin + _SHEET_COLUMNS * FACE_SIZE), 255, np.uint8)
    sheet[:, :margin] = names
    for row in range(len(dataset.labels)):
        top = row * FACE_SIZE
        members = np.flatnonzero(dataset.targets == row)
        chosen = rng.choice(members, min(_SHEET_COLUMNS, len(members)), replace=False)
        for column, index in enumerate(np.sort(chosen)):
            left = margin + column * FACE_SIZE
            sheet[top : top + FACE_SIZE, left : left + FACE_SIZE] = dataset.faces[index]
    with atomic_path(target) as temporary:
        temporary.write_bytes(cv2.imencode(".png", sheet)[1].tobytes())


def _column_of_names(labels: Sequence[str]) -> Pixels:
    """The labels, each at the height of its row, as wide as the longest needs; (H, W) uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.transforms import IdentityTransform

    dpi, height = 64, FACE_SIZE * len(labels)  # of a power of two pixels are exact parts
    figure = Figure(dpi=dpi, facecolor="white")
    canvas, pixels = FigureCanvasAgg(figure), IdentityTransform()
    with any_letters():
        width = _MARGIN
        for row, label in enumerate(labels):
            middle = height - (row + 0.5) * FACE_SIZE
            text = figure.text(
                _GAP, middle, label, transform=pixels, size=14, va="center", parse_math=False
            )
            width = max(width, math.ceil(text.get_window_extent(canvas.get_renderer()).x1) + _GAP)
        figure.set_size_inches(width / dpi, height / dpi)
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., 0]
