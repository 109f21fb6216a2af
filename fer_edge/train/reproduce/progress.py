"""What a person sees while many trainings run: a line a run, and a bar over all epochs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fer_edge.files import read_json
from fer_edge.train.folders import is_held
from fer_edge.train.reproduce.execute import INTERRUPTED, Task
from fer_edge.train.reproduce.results import Record


class Watch:
    """Prints to ``console``: a line when a task ends, and on a terminal a bar of epochs.

    Attributes:
        busy: names of the tasks whose runs another process trains.
    """

    def __init__(
        self, console: Console, trained: Sequence[tuple[Record, Path]], runs: Path
    ) -> None:
        self.console = console
        self.folders = {folder.name: folder for _, folder in trained}
        total = sum(record.experiment.recipe.fit.epochs for record, _ in trained)
        self.bar = Progress(
            TextColumn("epochs"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal or not trained,
        )
        self.count = self.bar.add_task("epochs", total=total)
        self.ends = 0
        self.busy: list[str] = []

    def tick(self) -> None:
        """Look at how far the runs are."""
        done = sum(
            read_json(folder / "checkpoints/state.json").get("epoch", 0)
            for folder in self.folders.values()
        )
        self.bar.update(self.count, completed=done)

    def ended(self, task: Task, code: int) -> None:
        """Say how a task ended."""
        self.ends += 1
        if code == 2 and task.name in self.folders and is_held(self.folders[task.name]):
            self.busy.append(task.name)
        line = f"{self.ends}. {task.name}: {self._outcome(task, code)}"
        self.console.print(line, highlight=False, soft_wrap=True)

    def _outcome(self, task: Task, code: int) -> str:
        if code == 3:
            return "the gate refused it"
        if task.name in self.busy:
            return "being trained by another process"
        if code == INTERRUPTED:
            return "interrupted"
        if code != 0:
            return f"failed with exit code {code}, see {task.log}"
        if task.name not in self.folders:
            return "exported"
        metrics = read_json(self.folders[task.name] / "metrics.json")
        test = metrics["test"]["whole"]["accuracy"]
        return (
            f"test {test['value']:.1%} ({test['low']:.1%} – {test['high']:.1%}), training "
            f"{metrics['training']['accuracy']:.1%}, {metrics['seconds']:.0f} s"
        )
