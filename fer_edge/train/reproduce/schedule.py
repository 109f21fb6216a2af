"""What there is to do, and how long it will take: the plan on the terminal."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from fer_edge.train.reproduce.cost import probe_speed, speed_of
from fer_edge.train.reproduce.results import Record, by_recipe_and_variant

TYPICAL_MACS = 90_000_000
"""Of the networks; one like it is timed when there is no run to go by."""


def print_plan(records: Sequence[Record], skipped: Collection[str], jobs: int) -> None:
    """Print every experiment with its cost, the time to expect and its state, on 80 columns.

    Args:
        records: all experiments, trained or not.
        skipped: fingerprints of those that are finished elsewhere and will not be trained here.
        jobs: trainings at a time.
    """
    speed, source = _speed(records)
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("recipe", "divided"):
        table.add_column(name, no_wrap=True)
    for name in ("parameters", "M MACs", "to go"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    total = 0.0
    for group in by_recipe_and_variant(records):
        first = group[0]
        waiting = [each for each in group if each.experiment.fingerprint not in skipped]
        left = sum(_training_seconds(record, speed) for record in waiting)
        total += left
        done = sum(record.finished for record in group)
        state = first.state if len(group) == 1 else f"{done} of {len(group)} done"
        if len(waiting) < len(group):
            state += " *"
        table.add_row(
            first.experiment.base,
            first.experiment.variant.removeprefix("by image, "),
            f"{first.cost.parameters:,}",
            f"{first.cost.macs / 1e6:,.0f}",
            _duration(left) if left else "–",
            state,
        )
    console = Console()
    console.print(table)
    if skipped:
        console.print("* finished elsewhere, as the report says; name its recipe to train it here")
    console.print(
        f"{_duration(total)} to go, one training at a time; expected from {source}"
        + (f" ({jobs} jobs share its cores)" if jobs > 1 else ""),
        highlight=False,
    )


def _speed(records: Sequence[Record]) -> tuple[float, str]:
    done = [record for record in records if record.epochs]
    epochs = [
        (record.cost.training_macs / record.experiment.recipe.fit.epochs, row["seconds"])
        for record in done
        for row in record.history()
    ]
    if (speed := speed_of(epochs)) is not None:
        return speed, f"{len(epochs)} epochs of {len(done)} runs"
    record = min(records, key=lambda each: abs(each.cost.macs - TYPICAL_MACS))
    speed = probe_speed(record.experiment.recipe, len(record.source.dataset.labels))
    return speed, f"a few steps of {record.experiment.base} here and now"


def _training_seconds(record: Record, speed: float) -> float:
    if record.finished:
        return 0.0
    left = 1 - record.epochs / record.experiment.recipe.fit.epochs
    return record.cost.training_macs * left / speed


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{max(minutes, 1)} min"
