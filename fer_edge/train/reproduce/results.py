"""What was reported beside what was measured, a record an experiment."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol, TypeVar

from fer_edge.errors import FerEdgeError
from fer_edge.files import read_json
from fer_edge.train.reproduce.cost import Cost, cost, training_faces
from fer_edge.train.reproduce.plan import DATASETS, Experiment, Source, find_run, is_finished


class Result(Protocol):
    """What the tables and figures show of an experiment, wherever it was run."""

    @property
    def experiment(self) -> Experiment: ...

    @property
    def dataset(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def cost(self) -> Cost | None: ...

    @property
    def epochs(self) -> int: ...

    @property
    def finished(self) -> bool: ...

    def history(self) -> list[dict[str, float]]: ...

    def metrics(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Record:
    """One experiment and how far it is here.

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
    def dataset(self) -> str:
        """Its name."""
        return self.source.dataset.name

    @property
    def fingerprint(self) -> str:
        """Of the dataset."""
        return self.source.fingerprint

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
            "recipe_fingerprint": self.experiment.fingerprint,
            "settings": list(self.experiment.settings),
            "dataset": self.dataset,
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
            "batch_norm": metrics.get("batch_norm"),
            "history": _columns(self.history()),
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


@dataclass(frozen=True)
class Elsewhere:
    """One finished experiment whose run folder is not here, out of an earlier ``results.json``.

    Attributes:
        experiment: what was trained.
        content: its entry there.
    """

    experiment: Experiment
    content: dict[str, Any]

    finished = True

    @property
    def dataset(self) -> str:
        """Its name."""
        return str(self.content["dataset"])

    @property
    def fingerprint(self) -> str:
        """Of the dataset."""
        return str(self.content["dataset_fingerprint"])

    @property
    def cost(self) -> Cost:
        """Of its network and training."""
        return Cost(**self.content["cost"])

    @property
    def epochs(self) -> int:
        """Finished ones."""
        return int(self.content["epochs"])

    @property
    def command(self) -> str:
        """What trains it by hand."""
        return str(self.content["command"])

    def history(self) -> list[dict[str, float]]:
        """A row an epoch, or of the last epoch alone where no more was written down."""
        columns = self.content.get("history")
        if not columns:
            return [self.content["training"]]
        names = list(columns)
        return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def metrics(self) -> dict[str, Any]:
        """The figures of its ``metrics.json`` that are shown."""
        return self.content

    def to_dict(self) -> dict[str, Any]:
        """Its entry, unchanged."""
        return self.content


@dataclass(frozen=True)
class Untrained:
    """One experiment of which nothing is known, so that nobody takes the rest for the whole.

    Attributes:
        experiment: what was to be trained.
    """

    experiment: Experiment

    dataset = fingerprint = ""
    cost = None
    epochs = 0
    finished = False

    def history(self) -> list[dict[str, float]]:
        """None."""
        return []

    def metrics(self) -> dict[str, Any]:
        """None."""
        return {}


def with_those_elsewhere(
    records: Sequence[Record], experiments: Sequence[Experiment], earlier: Sequence[dict[str, Any]]
) -> list[Result]:
    """The records, an earlier report's finished runs that are not here, and the untrained rest.

    Of runs that differ in their number of epochs alone, the finished one of the most is taken.

    Args:
        records: experiments whose runs were looked for.
        experiments: all that a report may have, in its order.
        earlier: the entries of a ``results.json``. Those of another recipe than today's, or of
            another dataset than was given, are left out.
    """
    datasets = {record.experiment.paper.dataset: record.source.fingerprint for record in records}
    here = {record.experiment.fingerprint: record for record in records}
    done = _done(earlier)
    results: list[Result] = []
    for experiment in experiments:
        given = datasets.get(experiment.paper.dataset)
        found: list[Result] = [
            Elsewhere(same, entry)
            for entry in done
            if (same := _same_but_for_epochs(experiment, entry)) is not None
            and given in (None, entry["dataset_fingerprint"])
        ]
        if (record := here.get(experiment.fingerprint)) is not None:
            found.append(record)
        # the last of equals is the one that is here
        found.sort(key=lambda each: (each.finished, each.epochs))
        results.append(found[-1] if found else Untrained(experiment))
    return results


def finished_elsewhere(records: Iterable[Record], earlier: Sequence[dict[str, Any]]) -> set[str]:
    """Fingerprints of experiments not finished here, which an earlier report has as finished.

    With the same recipe and dataset, that is, and as many epochs at least.
    """
    done = _done(earlier)
    return {
        record.experiment.fingerprint
        for record in records
        if not record.finished
        and any(
            entry["dataset_fingerprint"] == record.fingerprint
            and entry["epochs_of_recipe"] >= record.experiment.recipe.fit.epochs
            and _same_but_for_epochs(record.experiment, entry)
            for entry in done
        )
    }


def require_the_reports_datasets(
    sources: dict[str, Source], earlier: Sequence[dict[str, Any]], report: Path
) -> None:
    """Raise FerEdgeError where a report has finished runs of another dataset than the one given.

    A page that held both would compare what cannot be compared.
    """
    for kind, source in sources.items():
        others = [
            entry
            for entry in _done(earlier)
            if entry["reported"]["dataset"] == kind
            and entry["dataset_fingerprint"] != source.fingerprint
        ]
        if others:
            name, runs = DATASETS[kind], "runs" if len(others) > 1 else "run"
            theirs = f"{others[0]['dataset']} {others[0]['dataset_fingerprint'][:12]}"
            raise FerEdgeError(
                f"{report} has {len(others)} finished {runs} of another {name}, {theirs}; "
                f"{source.path} is {source.dataset.name} {source.fingerprint[:12]}",
                "give another --report",
            )


def _done(earlier: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for each in earlier if each.get("recipe_fingerprint") and each["state"] == "done"]


def _same_but_for_epochs(experiment: Experiment, entry: dict[str, Any]) -> Experiment | None:
    """What an entry was trained by, where that is the experiment but for the number of epochs."""
    if entry["recipe"] != experiment.base:
        return None
    same = experiment.with_epochs(entry["epochs_of_recipe"])
    return same if same.fingerprint == entry["recipe_fingerprint"] else None


def _columns(history: list[dict[str, float]]) -> dict[str, list[float]]:
    """The curves by name, to five digits."""
    return {
        name: [float(f"{row[name]:.5g}") for row in history]
        for name in ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")
        if history and name in history[0]
    }


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


R = TypeVar("R", bound=Result)


def by_recipe_and_variant(records: Sequence[R]) -> list[list[R]]:
    """Runs that differ in the seed alone."""
    key = lambda record: (record.experiment.base, record.experiment.variant)  # noqa: E731
    return [list(group) for _, group in groupby(records, key=key)]
