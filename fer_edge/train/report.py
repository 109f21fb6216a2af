"""What a user sees when a run has ended."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fer_edge.data.division import describe_division
from fer_edge.detection.evaluating import print_detection
from fer_edge.train.recipe import load_recipe, shipped_recipes

if TYPE_CHECKING:
    from fer_edge.train.run import Run

BATCH_NORM_GAP = 0.05
"""Accuracy lost by the moving averages that is worth a warning."""


def print_run(run: Run, *, as_json: bool = False) -> None:
    """Print the metrics with their intervals, what to be wary of, and the next command."""
    if as_json:
        print(json.dumps(run.metrics, indent=2))
    console = Console(stderr=as_json)
    metrics = run.metrics
    title = (
        f"{run.recipe.name}: {metrics['parameters']:,} parameters, epoch {metrics['chosen_epoch']} "
        f"of {metrics['epochs']}, {metrics['seconds'] / 60:.1f} min"
    )
    if run.recipe.task == "detect":
        console.print(title, highlight=False)
        for part in ("validation", "test"):
            if part in metrics and not as_json:
                print_detection(metrics[part], part)
    else:
        _print_classifier(metrics, title, console)
        division = run.recipe.data.division
        if said := describe_division({"division": division and division.to_dict()}):
            console.print(said, highlight=False)
    folder = shlex.quote(str(run.folder))
    if run.interrupted:
        console.print(
            f"interrupted after epoch {metrics['epochs']}: the run is not finished, the test split "
            f"was not touched\ngo on: fer-edge train --resume -o {folder}",
            highlight=False,
        )
        return
    for teacher in run.changed_teachers:
        console.print(
            f"[yellow]warning:[/] it was taught by another {escape(teacher)} than today's; start a "
            "new run to be taught by that",
            highlight=False,
        )
    console.print(f"run folder: {run.folder}", highlight=False)
    console.print(f"next: fer-edge export {folder} --int8", highlight=False)


def _print_classifier(metrics: dict[str, Any], title: str, console: Console) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column("split")
    for name in ("images", "accuracy", "95% interval", "macro-F1"):
        table.add_column(name, justify="right")
    last = metrics["training"]
    table.add_row("training, while it learned", "", f"{last['accuracy']:.1%}", "", "")
    for part in ("validation", "test"):
        _add_rows(table, part, metrics.get(part))
        # a head that learns from votes is judged by them
        _add_rows(table, f"{part}, FER+ majority", metrics.get(f"{part}_majority"))
    for head, measured in metrics.get("heads", {}).items():
        for part in ("validation", "test"):
            _add_rows(table, f"head {head}, {part}", measured.get(part))
    console.print(table)
    check = metrics["batch_norm"]
    if check["batch_statistics"] - check["moving_averages"] > BATCH_NORM_GAP:
        console.print(
            f"[yellow]warning:[/] on training images the batch norm's moving averages reach "
            f"{check['moving_averages']:.1%}, its batch statistics "
            f"{check['batch_statistics']:.1%}: train for longer or lower the model's momentum"
        )


def print_recipes() -> None:
    """Print name and description of every shipped recipe."""
    table = Table(box=None, show_header=False)
    for name in shipped_recipes():
        table.add_row(f"[bold]{name}", load_recipe(name).description)
    Console().print(table)


def _add_rows(table: Table, what: str, part: dict[str, Any] | None) -> None:
    for scope, report in _scopes(part):
        low, high = report["accuracy"]["low"], report["accuracy"]["high"]
        table.add_row(
            f"{what}: {scope}",
            f"{report['images']:,}",
            f"{report['accuracy']['value']:.1%}",
            f"{low:.1%} – {high:.1%}",
            f"{report['macro_f1']['value']:.1%}",
        )


def _scopes(part: dict[str, Any] | None) -> list[tuple[str, dict[str, Any]]]:
    if part is None:
        return []
    if not part["leaked"] or part["unleaked"] is None:
        return [("all", part["whole"])]
    return [("all", part["whole"]), ("never seen in training", part["unleaked"])]
