"""A model of any kind against the held-out splits of a dataset."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.bundle import INT8_TFLITE, open_bundle
from fer_edge.data import load_dataset
from fer_edge.data.audit import drop_leaks, leaked
from fer_edge.data.dataset import Dataset
from fer_edge.errors import FerEdgeError
from fer_edge.files import atomic_path
from fer_edge.metrics import Report, percent, report
from fer_edge.runtime import Model, load_model

TRAIN_SPLITS = ("Training",)
TEST_SPLITS = ("PrivateTest",)
ROLES = ("fingerprint", "train", "validation", "test", "drop_leaks")
"""What a run folder and a bundle record of the dataset: which split served what."""


@dataclass(frozen=True)
class Subject:
    """What is evaluated, and what is known of its training.

    Attributes:
        source: run folder, bundle or model file.
        model: the file, or the bytes of a bundle's int8 TFLite.
        labels: in the order of the output; None for a bare model file.
        data: path of the dataset that it was trained on; None when unknown.
        fingerprint: of that dataset; None when unknown.
        train, validation, test: splits.
        drop_leaks: training left out what also stands in validation and test.
    """

    source: Path
    model: Path | bytes
    labels: tuple[str, ...] | None = None
    data: str | None = None
    fingerprint: str | None = None
    train: tuple[str, ...] = TRAIN_SPLITS
    test: tuple[str, ...] = TEST_SPLITS
    validation: tuple[str, ...] = ()
    drop_leaks: bool = False


@dataclass(frozen=True)
class Evaluation:
    """Figures on the held-out images, and on those of them that training never saw.

    Attributes:
        runtime: what computed.
        splits: the held-out splits.
        seconds: wall time of inference.
        leaked: held-out images of which an identical one stands in the training splits.
        whole: on all held-out images.
        unleaked: without the leaked ones; None when nothing is left.
    """

    runtime: str
    splits: tuple[str, ...]
    seconds: float
    leaked: int
    whole: Report
    unleaked: Report | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "runtime": self.runtime,
            "splits": list(self.splits),
            "seconds": round(self.seconds, 2),
            "leaked": self.leaked,
            "whole": self.whole.to_dict(),
            "unleaked": None if self.unleaked is None else self.unleaked.to_dict(),
        }


def find_subject(path: Path | str) -> Subject:
    """Recognise a run folder, a bundle or a model file.

    Raises:
        FerEdgeError: nothing of the kind, or a run folder without a model.
    """
    path = Path(path)
    if path.is_dir():
        content = read_run(path)
        return Subject(
            path,
            path / "model.keras",
            tuple(content["labels"]),
            content["path"],
            **_split_roles(content),
        )
    if path.suffix == ".fer":
        bundle = open_bundle(path)
        known = bundle.manifest.dataset
        return Subject(
            path,
            bundle.read(INT8_TFLITE),
            bundle.labels,
            **_split_roles(known),
        )
    if not path.exists():
        raise FerEdgeError(
            f"no model at {path}", "give a run folder, a bundle, or a .keras, .tflite or .onnx file"
        )
    return Subject(path, path)


def read_run(folder: Path) -> dict[str, Any]:
    """A run folder's ``data.json``, after a look whether the run is finished.

    Raises:
        FerEdgeError: not a run folder, or one whose training has not ended.
    """
    try:
        content = json.loads((folder / "data.json").read_text(encoding="utf-8"))
        missing = {"path", "labels", "name", *ROLES} - set(content)
    except (OSError, ValueError) as error:
        raise FerEdgeError(
            f"{folder} is not a run folder: it has no readable data.json",
            "give the folder that fer-edge train wrote",
        ) from error
    if missing:
        raise FerEdgeError(f"{folder / 'data.json'} lacks '{sorted(missing)[0]}'", "train again")
    if not (folder / "model.keras").is_file():
        raise FerEdgeError(
            f"{folder} holds no model.keras: its training has not ended",
            f"go on with: fer-edge train --resume -o {folder}",
        )
    result: dict[str, Any] = content
    return result


def as_trained(dataset: Dataset, roles: Mapping[str, Any]) -> Dataset:
    """The dataset as training had it: without leaks where the recipe drops them.

    Args:
        dataset: as read.
        roles: has ``drop_leaks``, ``validation`` and ``test``.

    Raises:
        FerEdgeError: no training image is left.
    """
    if not roles["drop_leaks"]:
        return dataset
    left = drop_leaks(dataset, keep=[*roles["validation"], *roles["test"]])
    if not set(roles["train"]) & set(left.split_names):
        raise FerEdgeError(
            f"every training image of {dataset.name} also stands in the validation or test splits",
            "train without --drop-leaks, or look at it with: fer-edge data audit",
        )
    return left


def _split_roles(recorded: Mapping[str, Any]) -> dict[str, Any]:
    if missing := sorted(set(ROLES) - set(recorded)):
        raise FerEdgeError(
            f"the record of the dataset lacks '{missing[0]}'", "train or export again"
        )
    return {
        name: tuple(recorded[name]) if isinstance(recorded[name], list) else recorded[name]
        for name in ROLES
    }


def evaluate_path(path: Path | str, data: str | None, splits: Sequence[str] = ()) -> Evaluation:
    """Evaluate a run folder, bundle or model file on a dataset; None means the run's own."""
    subject = find_subject(path)
    source = data or subject.data
    if source is None:
        raise FerEdgeError("no dataset given", "name one with --data PATH")
    dataset = as_trained(load_dataset(source), vars(subject))
    return evaluate(
        load_model(subject.model),
        dataset,
        splits or subject.test,
        train_splits=subject.train,
        labels=subject.labels,
    )


def evaluate(
    model: Model,
    dataset: Dataset,
    splits: Sequence[str],
    *,
    train_splits: Sequence[str],
    labels: tuple[str, ...] | None = None,
) -> Evaluation:
    """Measure a model on held-out splits.

    Args:
        model: an opened model.
        dataset: has the splits.
        splits: held out.
        train_splits: what training saw; those of them that the dataset lacks are ignored.
        labels: the model's, when known.

    Raises:
        FerEdgeError: the model and the dataset speak of different classes.
    """
    if model.classes != len(dataset.labels) or (labels or dataset.labels) != dataset.labels:
        named = ", ".join(labels) if labels else f"{model.classes} classes"
        raise FerEdgeError(
            f"the model gives {named}; dataset {dataset.name} has {', '.join(dataset.labels)}",
            "evaluate on the dataset that the model was trained for",
        )
    held_out = dataset.select(splits)
    started = time.monotonic()
    probabilities = model.probabilities(held_out.faces)
    seconds = time.monotonic() - started
    clean = ~leaked_mask(dataset, train_splits, splits)
    return Evaluation(
        runtime=model.runtime,
        splits=tuple(splits),
        seconds=seconds,
        leaked=int((~clean).sum()),
        whole=report(probabilities, held_out.targets, dataset.labels),
        unleaked=report(probabilities[clean], held_out.targets[clean], dataset.labels)
        if clean.any()
        else None,
    )


def leaked_mask(
    dataset: Dataset, train_splits: Sequence[str], test_splits: Sequence[str]
) -> np.ndarray:
    """Which images of ``dataset.select(test_splits)`` training has seen, (M,) bool."""
    known = [name for name in train_splits if name in dataset.split_names]
    mask = leaked(dataset, known, test_splits) if known else np.zeros(len(dataset), bool)
    return mask[np.isin(dataset.splits, list(test_splits))]


def plot_confusion(result: Report, title: str, target: Path) -> None:
    """Draw the confusion matrix, rows normalised to the true class, as PNG."""
    from matplotlib.figure import Figure

    counts = np.array(result.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(6.2, 5.4), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(result.labels)), result.labels, rotation=40, ha="right")
    axes.set_yticks(range(len(result.labels)), result.labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("labelled")
    for row, column in np.ndindex(shares.shape):
        dark = shares[row, column] > 0.5
        text = f"{shares[row, column]:.0%}\n{counts[row, column]}"
        axes.text(
            column, row, text, ha="center", va="center", size=7, color="white" if dark else "black"
        )
    axes.set_title(title)
    with atomic_path(target) as temporary:
        figure.savefig(temporary, dpi=120)


def print_evaluation(result: Evaluation, *, as_json: bool = False) -> None:
    """Print the figures with their intervals, by scope and by expression."""
    from rich.console import Console
    from rich.table import Table

    if as_json:
        print(json.dumps(result.to_dict(), indent=2))
        return
    console = Console()
    scopes = {"all": result.whole}
    if result.leaked and result.unleaked is not None:
        scopes["never seen in training"] = result.unleaked
    table = Table(title=f"{', '.join(result.splits)}, {result.runtime}", title_justify="left")
    table.add_column("")
    for scope, figures in scopes.items():
        table.add_column(f"{scope}\n{figures.images:,} images", justify="right")
    for name in ("accuracy", "macro_f1", "calibration_error"):
        cells = [percent(getattr(figures, name)) for figures in scopes.values()]
        table.add_row(name.replace("_", " "), *cells)
    table.add_section()
    for label in result.whole.labels:
        cells = [percent(figures.recall[label]) for figures in scopes.values()]
        table.add_row(f"recall {label}", *cells)
    table.add_section()
    for label in result.whole.labels:
        cells = [percent(figures.precision[label]) for figures in scopes.values()]
        table.add_row(f"precision {label}", *cells)
    console.print(table)
    console.print(
        f"{result.leaked:,} held-out images stand in the training splits as well; intervals are "
        f"95%, bootstrap; {result.seconds:.1f} s",
        highlight=False,
    )
