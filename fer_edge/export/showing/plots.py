"""The plots of an export: what int8 changed by class, by confidence and by layer."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from fer_edge.evaluation.calibration import Bin
from fer_edge.evaluation.metrics import Estimate, Report
from fer_edge.export.judging.layers import Explanation
from fer_edge.plots import any_letters, name_classes

FLOAT, INT8, WORST = "#4c78a8", "#f58518", "#c0392b"
"""Colours of the float model, of the int8 model, and of what costs the most."""


def recall_plot(reference: Report, int8: Report) -> Figure:
    """Draw the recall of every class in float and in int8, with their intervals."""
    places = np.arange(len(reference.labels))
    figure = Figure(figsize=(6.4, 0.9 + 0.52 * len(places)), layout="constrained")
    axes = figure.subplots()
    for shift, name, color, report in (
        (-0.19, "float", FLOAT, reference),
        (0.19, "int8", INT8, int8),
    ):
        recall = [report.recall[label] or Estimate(0, 0, 0) for label in report.labels]
        values = np.array([100 * each.value for each in recall])
        reach = np.array([[100 * each.low, 100 * each.high] for each in recall]).T
        errors = np.abs(reach - values)
        axes.barh(
            places + shift,
            values,
            0.36,
            xerr=errors,
            color=color,
            label=name,
            error_kw={"elinewidth": 1, "ecolor": "#333333", "capsize": 2},
        )
    axes.set_yticks(places, reference.labels, parse_math=False)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("recall, % of the class's images, with 95% intervals")
    axes.grid(axis="x", alpha=0.3)
    # beside the bars: any corner may hold one
    figure.legend(loc="outside upper right", ncols=2, frameon=False)
    return figure


def confusion_change_plot(reference: Report, int8: Report) -> Figure:
    """Draw how many images int8 moved into each cell of the confusion matrix, and out of it."""
    change = np.array(int8.confusion) - np.array(reference.confusion)
    most = max(1, int(np.abs(change).max()))
    figure = Figure(figsize=(5.6, 4.9), layout="constrained")
    axes = figure.subplots()
    edges = np.arange(len(change) + 1) - 0.5
    axes.pcolormesh(edges, edges, change, cmap="RdBu_r", vmin=-most, vmax=most)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    name_classes(axes, int8.labels)
    for row, column in np.ndindex(change.shape):
        if change[row, column]:
            color = "white" if abs(change[row, column]) > 0.6 * most else "black"
            text = f"{change[row, column]:+d}"
            axes.text(column, row, text, ha="center", va="center", size=9, color=color)
    return figure


def reliability_plot(reference: Sequence[Bin], int8: Sequence[Bin]) -> Figure:
    """Draw accuracy over confidence, and how often each confidence occurs."""
    figure = Figure(figsize=(5.6, 4.9), layout="constrained")
    axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle="--")
    for name, color, bins in (("float", FLOAT, reference), ("int8", INT8, int8)):
        confidence = [each.confidence for each in bins]
        axes.plot(
            confidence,
            [each.accuracy for each in bins],
            "o-",
            color=color,
            label=name,
            markersize=4,
        )
        images = [each.images for each in bins]
        counts.plot(confidence, images, "o-", color=color, markersize=3)
    axes.set_ylabel("right")
    axes.set_ylim(0, 1)
    axes.set_xlim(0, 1)
    axes.legend(loc="upper left")
    axes.grid(alpha=0.3)
    counts.set_ylabel("images")
    counts.set_xlabel("confidence")
    counts.grid(alpha=0.3)
    return figure


def layers_plot(found: Explanation) -> Figure:
    """Draw noise, clipping, spread and cost of every layer, side by side."""
    places = np.arange(len(found.layers))
    figure = Figure(figsize=(13, 1.6 + 0.34 * len(places)), layout="constrained")
    panels = figure.subplots(1, 4, sharey=True)
    columns: list[tuple[str, list[float], bool]] = [
        ("signal over noise, dB", [each.decibels or 0 for each in found.layers], False),
        ("clipped, share of values", [each.clipped for each in found.layers], False),
        ("spread of weight channels", [each.spread or 1 for each in found.layers], True),
        (
            "mean Δ probability, alone in int8",
            [each.mean_difference for each in found.layers],
            False,
        ),
    ]
    worst = found.worst_first[:1]
    colours = [WORST if each in worst else FLOAT for each in found.layers]
    for axes, (title, values, logarithmic) in zip(panels, columns, strict=True):
        axes.barh(places, values, color=colours)
        axes.set_title(title, size=9)
        if logarithmic:
            axes.set_xscale("log")
    panels[0].set_yticks(places, [each.layer for each in found.layers], size=8)
    panels[0].invert_yaxis()
    return figure


def as_svg(figure: Figure) -> str:
    """The figure as an SVG element that scales with the page; the same figure, the same text."""
    settings: dict[Any, Any] = {"svg.hashsalt": "fer-edge", "svg.fonttype": "none"}
    with mpl.rc_context(settings), any_letters():
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None}, transparent=True)
    svg = written.getvalue()
    # without the prolog, which has no place within a page; the view box keeps the proportions
    return re.sub(r' width="[\d.]+pt" height="[\d.]+pt"', "", svg[svg.index("<svg") :], count=1)
