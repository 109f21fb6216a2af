"""A model of any kind against the held-out splits of a dataset."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np

from fer_edge.data import load_dataset
from fer_edge.data.audit import leaked
from fer_edge.data.dataset import Dataset
from fer_edge.data.division import describe_division
from fer_edge.data.fer2013 import SIZES
from fer_edge.data.ferplus import how_to_join, with_majority_truth
from fer_edge.data.shared_labels import with_shared_labels
from fer_edge.errors import FerEdgeError, require_extra
from fer_edge.evaluation.metrics import Report, cross_entropy, percent, report
from fer_edge.plots import draw_confusion, save_png
from fer_edge.runtime import Model, load_model
from fer_edge.subject import BY_LABEL, BY_MAJORITY, Subject, as_trained, find_subject


@dataclass(frozen=True)
class Evaluation:
    """Figures on the held-out images, and on those of them that training never saw.

    Attributes:
        runtime: what computed.
        splits: the held-out splits.
        seconds: wall time of inference.
        leaked: held-out images of which an identical one stands in the training splits; None when
            the model was trained on another dataset, since nothing is known then.
        loss: mean cross-entropy on all held-out images, in nats.
        whole: on all held-out images.
        unleaked: without the leaked ones; None when none is left or nothing is known.
        truth: what they were judged by, ``labels`` or ``FER+ majority``.
        note: for people, where that is not what the model has learned.
        division: how training and held-out images were divided anew, in words; empty where the
            dataset's own splits served, or nothing is known.
        copy: which other copy of the dataset it was trained on, in words; empty where it was this
            one, or another dataset. Leaked is then what stands in this copy's training splits.
        persons: how many are in the held-out images, resampled for the intervals; None where the
            dataset does not say who is in its pictures, and images are.
    """

    runtime: str
    splits: tuple[str, ...]
    seconds: float
    leaked: int | None
    loss: float
    whole: Report
    unleaked: Report | None
    truth: str = BY_LABEL
    note: str = ""
    division: str = ""
    persons: int | None = None
    copy: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        said: dict[str, Any] = {"division": self.division} if self.division else {}
        if self.copy:
            said["copy"] = self.copy
        if self.persons is not None:
            said["persons"] = self.persons
        return said | {
            "runtime": self.runtime,
            "splits": list(self.splits),
            "truth": self.truth,
            "note": self.note,
            "seconds": round(self.seconds, 2),
            "leaked": self.leaked,
            "loss": self.loss,
            "whole": self.whole.to_dict(),
            "unleaked": None if self.unleaked is None else self.unleaked.to_dict(),
        }


@dataclass(frozen=True)
class Judged:
    """A model and the dataset that it is to be judged on.

    Attributes:
        subject: the model.
        dataset: as training had it; held-out faces are labelled by ``truth``.
        splits: held out.
        train_splits: what training saw; none where it saw another dataset.
        truth: ``labels`` or ``FER+ majority``.
        note: for people, where that is not what the model has learned.
        division, copy: as ``Evaluation`` has them.
    """

    subject: Subject
    dataset: Dataset
    splits: tuple[str, ...]
    train_splits: tuple[str, ...]
    truth: str
    note: str = ""
    division: str = ""
    copy: str = ""


class Judging(TypedDict, total=False):
    """By what a model is judged."""

    head: str | None
    """Of a run folder with several; None takes the default one."""
    votes: bool | None
    """Take the majority of the FER+ votes for the truth, on the faces that have one; None does so
    for a model that learned from them, where the dataset has votes."""
    shared_labels: bool
    """Judge a model of another dataset on the faces whose labels both have. An answer that the
    dataset does not know is wrong."""
    skip_bad: bool
    """Leave out rows of the dataset that cannot be used, as training did where it did."""


def evaluate_path(
    path: Path | str,
    data: str | None,
    splits: Sequence[str] = (),
    **how: Unpack[Judging],
) -> Evaluation:
    """Evaluate a run folder, bundle or model file on a dataset; None means the run's own.

    Of a bare model file nothing is known: it is taken to be trained on the split ``Training``.

    Args:
        path: what is evaluated.
        data: the dataset's path.
        splits: held out; none takes the run's own, and with ``shared_labels`` all of them.
        how: see ``Judging``.

    Raises:
        FerEdgeError: no such model, head or dataset, no votes, or they do not fit one another.
    """
    judged = open_judged(path, data, splits, **how)
    result = evaluate(
        load_model(judged.subject.model, threads=os.cpu_count() or 1),
        judged.dataset,
        judged.splits,
        train_splits=judged.train_splits,
        labels=judged.subject.labels,
    )
    said = {name: getattr(judged, name) for name in ("truth", "note", "division", "copy")}
    return replace(result, **said)


def open_judged(
    path: Path | str,
    data: str | None,
    splits: Sequence[str] = (),
    **how: Unpack[Judging],
) -> Judged:
    """Find a model and read the dataset; arguments and errors as those of ``evaluate_path``."""
    subject = find_subject(path, how.get("head"), unfinished=True)
    source = data or subject.data
    if source is None:
        raise FerEdgeError("no dataset given", "name one with --data PATH")
    skip_bad = how.get("skip_bad", False) or subject.skip_bad
    # what it shares with a dataset is looked for among all of that one's labels
    labels = () if how.get("shared_labels") else subject.labels or ()
    dataset = load_dataset(source, own_labels=True, skip_bad=skip_bad, model_labels=labels)
    fingerprint = dataset.fingerprint()
    same = subject.fingerprint in (None, fingerprint)
    copy = "" if same else _another_copy(subject, dataset, fingerprint)
    known = same or bool(copy)
    if known:
        dataset = as_trained(dataset, vars(subject))
    chosen = tuple(splits or subject.test)
    if how.get("shared_labels"):
        if subject.labels is None:
            raise FerEdgeError(
                f"{path} does not say what its outputs are called",
                "give the run folder or the bundle for --shared-labels",
            )
        dataset = with_shared_labels(dataset, subject.labels)
        chosen = tuple(splits or (subject.test if known else dataset.split_names))
    train_splits = subject.train if known else ()
    votes = how.get("votes")
    if votes is None:
        votes = subject.truth == BY_MAJORITY and dataset.votes is not None
    note = "" if votes else _note(subject, dataset)
    if votes:
        dataset = with_majority_truth(dataset, sorted({*train_splits} - {*chosen}))
    truth = BY_MAJORITY if votes else BY_LABEL
    division = describe_division(vars(subject)) if known else ""
    return Judged(subject, dataset, chosen, train_splits, truth, note, division, copy)


def _another_copy(subject: Subject, dataset: Dataset, fingerprint: str) -> str:
    """In words, where both are FER2013, of which there are copies that differ a little.

    Where it was divided anew, another copy gives another division, and nothing is known.
    """
    sizes = {split: int((dataset.splits == split).sum()) for split in dataset.split_names}
    if subject.name != "fer2013" or sizes != SIZES or subject.division is not None:
        return ""
    return (
        f"trained on another copy of FER2013 (fingerprint {(subject.fingerprint or '')[:16]}, this "
        f"one has {fingerprint[:16]}), so its own training splits tell what was seen"
    )


def _note(subject: Subject, dataset: Dataset) -> str:
    """What to know of a model that is judged by the labels."""
    if subject.truth == BY_LABEL:
        return ""
    judged = "it has learned FER+'s votes and is judged by the labels here"
    if dataset.votes is not None:
        return judged
    how = how_to_join(dataset)
    return f"{judged}: {dataset.name} has no votes{how and '; '}{how}"


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
        train_splits: what training saw; those of them that the dataset lacks are ignored. None at
            all: the model was trained on another dataset.
        labels: the model's, when known.

    Raises:
        FerEdgeError: the model and the dataset speak of different classes, or the model gives no
            numbers.
    """
    check_labels(model, dataset, labels)
    held_out = dataset.select(splits)
    started = time.monotonic()
    probabilities = model.probabilities(held_out.faces)
    seconds = time.monotonic() - started
    check_numbers(probabilities)
    seen = leaked_mask(dataset, train_splits, splits) if train_splits else None
    clean = np.zeros(len(held_out), bool) if seen is None else ~seen
    who = held_out.subjects
    return Evaluation(
        runtime=model.runtime,
        splits=tuple(splits),
        seconds=seconds,
        leaked=None if seen is None else int(seen.sum()),
        loss=cross_entropy(probabilities, held_out.targets),
        whole=report(probabilities, held_out.targets, dataset.labels, subjects=who),
        unleaked=report(
            probabilities[clean],
            held_out.targets[clean],
            dataset.labels,
            subjects=None if who is None else who[clean],
        )
        if clean.any()
        else None,
        persons=None if who is None else len(np.unique(who)),
    )


def check_labels(model: Model, dataset: Dataset, labels: tuple[str, ...] | None) -> None:
    """FerEdgeError unless a model, of these labels where they are known, speaks the dataset's."""
    if model.classes != len(dataset.labels) or (labels or dataset.labels) != dataset.labels:
        named = ", ".join(labels) if labels else f"{model.classes} classes"
        raise FerEdgeError(
            f"the model gives {named}; dataset {dataset.name} has {', '.join(dataset.labels)}",
            "evaluate on the dataset that the model was trained for, or with --shared-labels",
        )


def check_numbers(probabilities: np.ndarray) -> None:
    """FerEdgeError unless all of a model's answers, (N, classes), are numbers."""
    if broken := int((~np.isfinite(probabilities).all(axis=1)).sum()):
        raise FerEdgeError(
            f"the model gives no numbers for {broken:,} of {len(probabilities):,} images",
            "its weights are damaged or training diverged: train again, at a lower learning rate",
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
    require_extra("matplotlib", "train")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.2, 5.4), layout="constrained")
    axes = figure.subplots()
    draw_confusion(axes, result.labels, result.confusion)
    axes.set_title(title, parse_math=False)
    save_png(figure, target)


def print_evaluation(result: Evaluation, *, as_json: bool = False) -> None:
    """Print the figures with their intervals, by scope and by expression."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    if as_json:
        print(json.dumps(result.to_dict(), indent=2))
        return
    console = Console()
    scopes = {"all": result.whole}
    if result.leaked and result.unleaked is not None:
        scopes["never seen in training"] = result.unleaked
    title = f"{', '.join(result.splits)}, {result.runtime}, judged by the {result.truth}"
    # rich would take brackets in names of one's own for markup
    table = Table(title=escape(title), title_justify="left")
    table.add_column("")
    for scope, figures in scopes.items():
        table.add_column(f"{scope}\n{figures.images:,} images", justify="right")
    for name in ("accuracy", "macro_f1", "calibration_error"):
        cells = [percent(getattr(figures, name)) for figures in scopes.values()]
        table.add_row(name.replace("_", " "), *cells)
    table.add_section()
    for label in result.whole.labels:
        cells = [percent(figures.recall[label]) for figures in scopes.values()]
        table.add_row(escape(f"recall {label}"), *cells)
    table.add_section()
    for label in result.whole.labels:
        cells = [percent(figures.precision[label]) for figures in scopes.values()]
        table.add_row(escape(f"precision {label}"), *cells)
    console.print(table)
    seen = (
        "trained on another dataset than this one, so nothing is known of leaks"
        if result.leaked is None
        else f"{result.leaked:,} held-out images stand in the training splits as well"
    )
    over = "" if result.persons is None else f" over the {result.persons} persons"
    console.print(
        f"{seen}; intervals are 95%, bootstrap{over}; {result.seconds:.1f} s", highlight=False
    )
    if result.copy:
        console.print(result.copy, highlight=False)
    if result.division:
        console.print(escape(result.division), highlight=False)
    if result.note:
        console.print(f"[yellow]note:[/] {escape(result.note)}", highlight=False)
