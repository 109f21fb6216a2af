"""Progress of a training run: a bar with the time left in a terminal, a line an epoch elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence

import keras
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class TrainingProgress(keras.callbacks.Callback):
    """Prints to standard error. ``steps`` are batches an epoch."""

    def __init__(self, epochs: int, steps: int, first_epoch: int, devices: Sequence[str]) -> None:
        super().__init__()
        self.epochs, self.steps, self.first_epoch = epochs, steps, first_epoch
        self.devices = devices
        self.console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=self.console,
            disable=not self.console.is_terminal,
            refresh_per_second=4,
            # the time left is taken from the last minutes: a shared machine's speed varies
            speed_estimate_period=300,
        )
        self.task: TaskID | None = None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        if len(self.devices) > 1:
            self.console.print(f"sharing each batch: {', '.join(self.devices)}", highlight=False)
        self.bar.start()
        self.task = self.bar.add_task(
            "training",
            total=self.epochs * self.steps,
            completed=self.first_epoch * self.steps,
            figures="",
        )

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.started = time.monotonic()
        if self.task is not None:
            self.bar.update(self.task, description=f"epoch {epoch + 1}/{self.epochs}")

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if self.task is not None:
            self.bar.update(self.task, advance=1, figures=_figures(logs))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        seconds = time.monotonic() - self.started
        self.console.print(
            f"epoch {epoch + 1}/{self.epochs}  {seconds:.0f} s  {_figures(logs)}",
            highlight=False,
            soft_wrap=True,
        )

    def close(self) -> None:
        """Give the terminal back; safe to call twice and after an exception."""
        self.bar.stop()


def _figures(logs: dict[str, float] | None) -> str:
    return "  ".join(
        f"{name.replace('val_', 'validation ')} {value:.4f}"
        for name, value in (logs or {}).items()
        if name.removeprefix("val_") in ("loss", "accuracy", "overlap")
    )
