"""Stand-ins of the executor, and an interrupted reproduction, for the tests here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fer_edge.chatter import import_keras
from fer_edge.cli import app
from fer_edge.data.dataset import Dataset
from fer_edge.errors import FerEdgeError

keras = import_keras()

from fer_edge.train.reproduce import Options, reproduce  # noqa: E402
from fer_edge.train.reproduce.execute import Task  # noqa: E402
from fer_edge.train.reproduce.plan import Source  # noqa: E402


def as_source(dataset: Dataset) -> Source:
    return Source("faces.npz", dataset, dataset.fingerprint())


EXPORTED = {
    "reference": {"accuracy": {"value": 0.5, "low": 0.4, "high": 0.6}},
    "ladder": {"needed": "rewrites", "float_layers": []},
    "formats": [
        {
            "name": name,
            "size": 9000,
            "whole": {"accuracy": {"value": 0.5, "low": 0.4, "high": 0.6}},
            "drop": {
                "accuracy": {"value": 0.0, "low": -0.1, "high": 0.1},
                "agreement": 0.9,
                "mean_difference": 0.0,
                "largest_difference": 0.0,
            },
            "latency": {"p50": 1.0},
        }
        for name in ("model.int8.tflite", "model.float32.tflite")
    ],
}
"""Of what ``fer-edge export --json`` prints, that which is looked at."""


class Here:
    """Trains by the command line's own code, where Keras is imported already; exports nothing.

    Attributes:
        done: the first words of every task.
    """

    def __init__(self) -> None:
        self.done: list[tuple[str, ...]] = []

    def run(self, tasks: Sequence[Task], tick: Callable[[], None]) -> Iterator[tuple[Task, int]]:
        for task in tasks:
            tick()
            self.done.append(task.arguments[:2])
            task.log.parent.mkdir(parents=True, exist_ok=True)
            if task.arguments[0] == "export":
                assert task.output is not None
                task.output.write_text(json.dumps(EXPORTED))
                yield task, 0
                continue
            try:
                yield task, app([*task.arguments], standalone_mode=False) or 0
            except FerEdgeError as error:
                task.log.write_text(error.message)
                yield task, 2


class Idle(Here):
    """Takes note of the tasks and does nothing."""

    def run(self, tasks: Sequence[Task], tick: Callable[[], None]) -> Iterator[tuple[Task, int]]:
        self.done += [task.arguments[:2] for task in tasks]
        yield from ()


@dataclass(frozen=True)
class CutOff:
    """A reproduction that was interrupted, to be gone on with as often as one likes.

    Attributes:
        options: as it was asked for.
        here: the executor.
    """

    options: Options
    here: Here

    @property
    def half(self) -> Path:
        """The run that has one epoch of two."""
        return self.options.runs / "kusno-4_2"

    def states(self) -> dict[str, str]:
        """Recipe to state, as the report has them."""
        content = json.loads((self.options.report / "results.json").read_text())
        return {run["recipe"]: run["state"] for run in content["runs"]}

    def go_on(self) -> list[tuple[str, ...]]:
        """Call it again; the tasks that this took."""
        self.here.done.clear()
        reproduce(self.options)
        return list(self.here.done)
