"""Plots that more than one stage draws; matplotlib is the caller's."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.files import atomic_path


@contextmanager
def any_letters() -> Iterator[None]:
    """Draw without a warning for each letter that matplotlib's font lacks; it becomes a box."""
    with warnings.catch_warnings():
        for complaint in ("Glyph ", "Matplotlib currently does not support "):
            warnings.filterwarnings("ignore", complaint, UserWarning)
        yield


def save_png(figure: Any, target: Path) -> None:
    """Write matplotlib's figure as PNG, whole or not at all."""
    with atomic_path(target) as temporary, any_letters():
        figure.savefig(temporary, dpi=120, format="png")


def name_classes(axes: Any, labels: Sequence[str]) -> None:
    """Write the class names beside a confusion matrix and under it, a ``$`` in them as it is."""
    places = range(len(labels))
    axes.set_xticks(places, labels, rotation=40, ha="right", parse_math=False)
    axes.set_yticks(places, labels, parse_math=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("labelled")


def draw_confusion(axes: Any, labels: Sequence[str], confusion: Any) -> None:
    """Draw a confusion matrix, rows normalised to the true class, with shares and counts.

    Args:
        axes: matplotlib's.
        labels: class names.
        confusion: (classes, classes) counts, a row for each true class.
    """
    counts = np.array(confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    name_classes(axes, labels)
    for row, column in np.ndindex(shares.shape):
        color = "white" if shares[row, column] > 0.5 else "black"
        text = f"{shares[row, column]:.0%}\n{counts[row, column]}"
        axes.text(column, row, text, ha="center", va="center", size=7, color=color)
