"""What was reported beside what was measured, a record an experiment."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fer_edge.files import read_json
from fer_edge.train.reproduce.cost import Cost, cost, training_faces
from fer_edge.train.reproduce.plan import Experiment, Source, find_run, is_finished


@dataclass(frozen=True)
class Record:
    """One experiment and how far it is.

    Attributes:
        experiment: what is to be trained.
        source: the dataset given for it.
        cost: of its network and training.
        folder: its run folder; None when not started.
        epochs: finished ones.
        finished: whether the test split was measured.
    """

    experiment: Experiment
    source: Source
    cost: Cost
    folder: Path | None
    epochs: int
    finished: bool

    @property
    def state(self) -> str:
        """In words."""
        if self.finished:
            return "done"
        if not self.epochs:
            return "not started"
        return f"epoch {self.epochs} of {self.experiment.recipe.fit.epochs}"

    @property
    def command(self) -> str:
        """What trains it by hand."""
        words = ["fer-edge", "train", self.experiment.base, "--data", Path(self.source.path).name]
        for setting in self.experiment.settings:
            words += ["--set", setting]
        return shlex.join(words)

    def history(self) -> list[dict[str, float]]:
        """A row an epoch: loss, accuracy and, where there is validation, ``val_…``."""
        state = self._json("checkpoints/state.json")
        return list(state.get("history", []))

    def metrics(self) -> dict[str, Any]:
        """The content of ``metrics.json``; empty when not finished."""
        return self._json("metrics.json") if self.finished else {}

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: reported, measured, and what it was measured with."""
        recipe, metrics = self.experiment.recipe, self.metrics()
        last = self.history()[-1:]
        return {
            "paper": self.experiment.paper.name,
            "recipe": self.experiment.base,
            "settings": list(self.experiment.settings),
            "dataset": self.source.dataset.name,
            "dataset_fingerprint": self.source.fingerprint,
            "variant": self.experiment.variant,
            "seed": recipe.fit.seed,
            "leaky": recipe.data.leaky,
            "cost": asdict(self.cost),
            "reported": self.experiment.paper.model_dump(exclude_none=True),
            "state": self.state,
            "epochs": self.epochs,
            "epochs_of_recipe": recipe.fit.epochs,
            "training": last[0] if last else None,
            "validation": metrics.get("validation"),
            "test": metrics.get("test"),
            "seconds": metrics.get("seconds"),
            "environment": self._environment(),
            "command": self.command,
        }

    def _environment(self) -> dict[str, Any]:
        """Without the commands, which name folders of the machine; ``command`` does not."""
        content = self._json("environment.json")
        return {k: v for k, v in content.items() if k not in ("command", "resumed")}

    def _json(self, name: str) -> dict[str, Any]:
        return {} if self.folder is None else read_json(self.folder / name)


def look(experiments: list[Experiment], sources: dict[str, Source], runs: Path) -> list[Record]:
    """How far each experiment is; those whose dataset was not given are left out."""
    costs: dict[str, Cost] = {}
    records = []
    for experiment in experiments:
        if experiment.paper.dataset not in sources:
            continue
        source, recipe = sources[experiment.paper.dataset], experiment.recipe
        if experiment.base not in costs:
            faces = training_faces(recipe, source.dataset)
            costs[experiment.base] = cost(recipe, faces, len(source.dataset.labels))
        folder, epochs = find_run(experiment, source.fingerprint, runs) or (None, 0)
        finished = folder is not None and is_finished(folder)
        records.append(Record(experiment, source, costs[experiment.base], folder, epochs, finished))
    return records
