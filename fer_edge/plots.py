"""Plots that more than one stage draws; matplotlib is the caller's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


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
    axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("labelled")
    for row, column in np.ndindex(shares.shape):
        color = "white" if shares[row, column] > 0.5 else "black"
        text = f"{shares[row, column]:.0%}\n{counts[row, column]}"
        axes.text(column, row, text, ha="center", va="center", size=7, color=color)
