"""What can be evaluated, a run folder, a bundle or a model file, and what it says of itself."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fer_edge.bundle import INT8_TFLITE, open_bundle
from fer_edge.data.audit import drop_leaks
from fer_edge.data.dataset import Dataset
from fer_edge.data.division import Division, divide
from fer_edge.errors import FerEdgeError, nearest
from fer_edge.files import read_json
from fer_edge.shipped import shipped_models

TRAIN_SPLITS = ("Training",)
TEST_SPLITS = ("PrivateTest",)
ROLES = {"fingerprint": str, "train": list, "validation": list, "test": list, "drop_leaks": bool}
"""What a run folder and a bundle record of the dataset: which split served what."""
DIVISION = "division"
"""Recorded beside them where the dataset was divided anew: a Division's fields and the fingerprint
of what it gave."""
SKIP_BAD = "skip_bad"
"""Recorded where rows that cannot be used were left out: to be done again with the dataset."""
VOTES = "votes"
"""The head that learns from FER+'s votes alone."""
BY_LABEL, BY_MAJORITY = "labels", "FER+ majority"
"""What held-out images are judged by: the dataset's own labels, or the majority of FER+'s votes,
which is over half of the votes above one."""
_DIVISION = {"how": str, "test_share": float, "seed": int, "leaky": bool, "fingerprint": str}
_RECORD = {"path": str, "labels": list, "name": str, **ROLES}


@dataclass(frozen=True)
class Subject:
    """What is evaluated, and what is known of its training.

    Attributes:
        source: run folder, bundle or model file.
        model: the file, or the bytes of a bundle's int8 TFLite.
        labels: in the order of the output; None for a bare model file.
        data: path of the dataset that it was trained on; None when unknown.
        fingerprint: of that dataset; None when unknown.
        name: of that dataset; None when unknown.
        train, validation, test: splits.
        drop_leaks: training left out what also stands in validation and test.
        division: how the dataset was divided anew; None when its own splits served.
        truth: what it is to be judged by, where the dataset has that.
        skip_bad: training left out rows of the dataset that cannot be used.
        raised: by class, how far its logits are above those that it had learned, adjusted as its
            recipe says.
    """

    source: Path
    model: Path | bytes
    labels: tuple[str, ...] | None = None
    data: str | None = None
    fingerprint: str | None = None
    name: str | None = None
    train: tuple[str, ...] = TRAIN_SPLITS
    test: tuple[str, ...] = TEST_SPLITS
    validation: tuple[str, ...] = ()
    drop_leaks: bool = False
    division: dict[str, Any] | None = None
    truth: str = BY_LABEL
    skip_bad: bool = False
    raised: Mapping[str, float] = field(default_factory=dict)


def model_file(run: Path, head: str | None = None) -> Path:
    """Where a run folder keeps its network, or that of another head than the default one."""
    return run / (f"model-{head}.keras" if head else "model.keras")


def truth_of(head: str | None) -> str:
    """What a head has learned, and is judged by where the dataset has it."""
    return BY_MAJORITY if head == VOTES else BY_LABEL


def find_head(run: Path, head: str | None, *, unfinished: bool = False) -> Path:
    """The network of a run's head; None is the default one.

    Raises:
        FerEdgeError: as ``read_run``, or the run has no such head.
    """
    recorded = read_run(run, unfinished=unfinished).get("heads", [])
    if head is None or head in recorded[:1]:
        return model_file(run)
    if head not in recorded or not (file := model_file(run, head)).is_file():
        known = f"its heads are {', '.join(recorded)}" if recorded else "it has one output alone"
        raise FerEdgeError(f"{run} has no head '{head}'", known)
    return file


def find_subject(path: Path | str, head: str | None = None, *, unfinished: bool = False) -> Subject:
    """Recognise a run folder, a bundle or a model file.

    Args:
        path: where it is.
        head: of a run folder alone.
        unfinished: take a run as well that was stopped before its end.

    Raises:
        FerEdgeError: nothing of the kind, or a run folder that is not finished, without a model or
            without such a head.
    """
    path = Path(path)
    if head is not None and not path.is_dir():
        raise FerEdgeError(f"{path} has no heads to choose from", "give a run folder, or no --head")
    if path.is_dir():
        content = read_run(path, unfinished=unfinished)
        return Subject(
            path,
            find_head(path, head, unfinished=unfinished),
            tuple(content["labels"]),
            content["path"],
            name=content["name"],
            truth=truth_of(head or next(iter(content.get("heads", [])), None)),
            skip_bad=content.get(SKIP_BAD) is True,
            raised=_raised_in_training(path, head, content),
            **_split_roles(content),
        )
    if path.suffix == ".fer":
        bundle = open_bundle(path)
        known = bundle.manifest.dataset
        _check_record(known, ROLES, f"{path}'s record of the dataset", "export the model again")
        return Subject(
            path,
            bundle.read(INT8_TFLITE),
            bundle.labels,
            name=known.get("name"),
            truth=known.get("truth", BY_LABEL),
            raised=_raised(
                bundle.manifest.export, bundle.manifest.export.get("temperature"), str(path)
            ),
            **_split_roles(known),
        )
    if not path.exists():
        raise FerEdgeError(
            f"no model at {path}",
            nearest(path.name, shipped_models())
            or "give a run folder, a bundle, or a .keras, .tflite or .onnx file",
        )
    return Subject(path, path)


def task_of(path: Path) -> str:
    """``detect`` for a face detector's run folder or bundle, else ``classify``."""
    if path.is_dir():
        return "detect" if read_json(path / "data.json").get("task") == "detect" else "classify"
    if path.suffix == ".fer" and path.is_file():
        return open_bundle(path).manifest.task
    return "classify"


def finished_metrics(folder: Path) -> dict[str, Any] | None:
    """The metrics of a run that reached its end, where they are written last; else None."""
    metrics = read_json(folder / "metrics.json")
    return metrics if metrics and not metrics.get("interrupted") else None


def read_run(folder: Path, *, unfinished: bool = False) -> dict[str, Any]:
    """A run folder's ``data.json``, after a look whether the run is finished.

    Args:
        folder: of the run.
        unfinished: one that was stopped before its end will do, if it holds a network.

    Raises:
        FerEdgeError: not a run folder, or one whose training has not ended.
    """
    try:
        content = json.loads((folder / "data.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FerEdgeError(
            f"{folder} is not a run folder: it has no readable data.json",
            "give the folder that fer-edge train wrote",
        ) from error
    _check_record(content, _RECORD, str(folder / "data.json"), "train again")
    go_on = f"go on with: fer-edge train --resume -o {shlex.quote(str(folder))}"
    if not (folder / "model.keras").is_file():
        raise FerEdgeError(f"{folder} holds no model.keras: its training has not ended", go_on)
    if not unfinished and finished_metrics(folder) is None:
        raise FerEdgeError(f"{folder} is not finished: its training was stopped early", go_on)
    result: dict[str, Any] = content
    return result


def measured_of(metrics: Mapping[str, Any], head: str | None) -> Mapping[str, Any]:
    """The figures of a head in a run's ``metrics.json``; None is the default one."""
    found: Mapping[str, Any] = metrics if head is None else metrics.get("heads", {}).get(head, {})
    return found


def _raised_in_training(
    run: Path, head: str | None, content: Mapping[str, Any]
) -> Mapping[str, float]:
    default = next(iter(content.get("heads", [])), None)
    measured = measured_of(read_json(run / "metrics.json"), None if head == default else head)
    temperature = measured.get("calibration", {}).get("temperature")
    return _raised(measured, temperature, str(run / "metrics.json"))


def _raised(recorded: Mapping[str, Any], temperature: Any, where: str) -> Mapping[str, float]:
    """The adjustment came first, and was divided by the temperature with the logits."""
    amounts = recorded.get("logit_adjustment", {})
    try:
        return {name: amount / (temperature or 1) for name, amount in amounts.items()}
    except (TypeError, AttributeError) as error:
        raise FerEdgeError(
            f"{where} is damaged: it has no usable 'logit_adjustment'", "export or train again"
        ) from error


def as_trained(dataset: Dataset, roles: Mapping[str, Any]) -> Dataset:
    """The dataset as training had it: divided anew and without leaks where the recipe says so.

    Args:
        dataset: as read.
        roles: has ``drop_leaks``, ``validation``, ``test``, and may have ``division``.

    Raises:
        FerEdgeError: no training image is left, or the division gives other splits than it did.
    """
    if recorded := roles.get(DIVISION):
        dataset = _divided(dataset, recorded)
    if not roles["drop_leaks"]:
        return dataset
    left = drop_leaks(dataset, keep=[*roles["validation"], *roles["test"]])
    if not set(roles["train"]) & set(left.split_names):
        raise FerEdgeError(
            f"every training image of {dataset.name} also stands in the validation or test splits",
            "train without --drop-leaks, or look at it with: fer-edge data audit",
        )
    return left


def _divided(dataset: Dataset, recorded: Mapping[str, Any]) -> Dataset:
    fields = {name: value for name, value in recorded.items() if name != "fingerprint"}
    result = divide(dataset, Division(**fields))
    if recorded["fingerprint"] != result.fingerprint():
        raise FerEdgeError(
            f"{dataset.name} is divided into other splits than when the model was trained, so "
            "held-out images may have been trained on",
            "use the versions of scikit-learn and imbalanced-learn of the training",
        )
    return result


def _check_record(recorded: Any, kinds: Mapping[str, type], where: str, hint: str) -> None:
    _check(recorded, kinds, where, hint)
    if recorded.get(DIVISION) is not None:
        _check(recorded[DIVISION], _DIVISION, where, hint)


def _check(recorded: Any, kinds: Mapping[str, type], where: str, hint: str) -> None:
    """FerEdgeError unless everything is there, lists being lists of names."""
    if not isinstance(recorded, dict):
        raise FerEdgeError(f"{where} is damaged: it is no table", hint)
    for name, kind in kinds.items():
        value = recorded.get(name)
        names = kind is not list or (isinstance(value, list) and set(map(type, value)) <= {str})
        if not isinstance(value, kind) or not names:
            raise FerEdgeError(f"{where} is damaged: it has no usable '{name}'", hint)


def _split_roles(recorded: Mapping[str, Any]) -> dict[str, Any]:
    roles = {
        name: tuple(recorded[name]) if kind is list else recorded[name]
        for name, kind in ROLES.items()
    }
    return roles | {DIVISION: recorded.get(DIVISION)}
