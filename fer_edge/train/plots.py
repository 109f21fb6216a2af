"""The pictures of a run folder."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from fer_edge.plots import save_png


def plot_curves(
    history: list[dict[str, float]], title: str, target: Path, measure: str = "accuracy"
) -> None:
    """Loss and a measure over the epochs, training and (where there is one) validation, as PNG."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    epochs = [row["epoch"] for row in history]
    for axes, name in zip(figure.subplots(1, 2), ("loss", measure), strict=True):
        axes.plot(epochs, [row[name] for row in history], marker=".", label="training")
        if f"val_{name}" in history[0]:
            axes.plot(
                epochs, [row[f"val_{name}"] for row in history], marker=".", label="validation"
            )
        axes.set_xlabel("epoch")
        axes.set_ylabel(name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    save_png(figure, target)
