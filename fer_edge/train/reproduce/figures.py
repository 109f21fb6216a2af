"""The papers' figures, redrawn from our runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from fer_edge.plots import draw_confusion, save_png
from fer_edge.train.reproduce.results import Record, Result

CURVES = {
    "triwijoyo": "Triwijoyo, Figure 3: with and without batch norm",
    "mondal": "Mondal, Figures 3 to 5: shallow, improved, deep",
    "kusno": "Kusno, Figures 1 to 4: models 1 to 4 on FER2013",
}


def draw_figures(records: Sequence[Result], folder: Path) -> dict[str, str]:
    """Draw what there are runs for; a figure stays as it is when all of its runs are elsewhere.

    Returns:
        Title to path, relative to the folder above ``folder``.
    """
    drawn = {}
    for paper, title in CURVES.items():
        chosen = [
            record
            for record in records
            if record.experiment.paper.name == paper
            and record.experiment.paper.dataset == "fer2013"
            and record.experiment.paper.place != ""
            and record.epochs
        ]
        if chosen:
            target = folder / f"{paper}.png"
            if not target.exists() or any(isinstance(each, Record) for each in chosen):
                _curves(chosen, target)
            drawn[title] = f"{folder.name}/{target.name}"
    confusions = [
        record for record in records if record.experiment.paper.name == "kumar" and record.finished
    ]
    if confusions:
        target = folder / "kumar.png"
        if not target.exists() or any(isinstance(each, Record) for each in confusions):
            _confusions(confusions, target)
        drawn[_confusions_title(confusions)] = f"{folder.name}/{target.name}"
    return drawn


def _confusions_title(records: Sequence[Result]) -> str:
    sides = ("left: ", "right: ") if len(records) == 2 else ("",) * len(records)
    protocols = (
        f"{side}the {'leaky' if record.experiment.recipe.data.leaky else 'honest'} protocol"
        for side, record in zip(sides, records, strict=True)
    )
    return f"Kumar: confusion; {', '.join(protocols)}"


def _curves(records: Sequence[Result], target: Path) -> None:
    """Loss and accuracy over the epochs: training solid, held out dashed or as a last point."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for number, record in enumerate(records):
            history, color = record.history(), f"C{number}"
            epochs = [row["epoch"] for row in history]
            base = record.experiment.base
            # of a run elsewhere there may be the last epoch alone
            marker = "." if len(history) == 1 else ""
            values = [row[name] for row in history]
            axes.plot(epochs, values, color=color, marker=marker, label=base)
            if f"val_{name}" in history[0]:
                held_out = [row[f"val_{name}"] for row in history]
                axes.plot(epochs, held_out, "--", color=color, label=f"{base}, validation")
            elif record.finished:
                test = record.metrics()["test"]
                last = test["loss"] if name == "loss" else test["whole"]["accuracy"]["value"]
                axes.plot(epochs[-1], last, "o", color=color, label=f"{base}, test")
        axes.set_xlabel("epoch")
        axes.set_ylabel(name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    save_png(figure, target)


def _confusions(records: Sequence[Result], target: Path) -> None:
    figure = Figure(figsize=(5.6 * len(records), 5), layout="constrained")
    for axes, record in zip(np.atleast_1d(figure.subplots(1, len(records))), records, strict=True):
        whole = record.metrics()["test"]["whole"]
        draw_confusion(axes, whole["labels"], whole["confusion"])
        axes.set_title(f"{record.experiment.base}: {whole['accuracy']['value']:.1%}")
    save_png(figure, target)
