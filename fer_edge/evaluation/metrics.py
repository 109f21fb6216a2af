"""Figures of merit of a classifier, each with the interval that the size of the sample allows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.evaluation.calibration import (
    Probabilities,
    Targets,
    calibration_error,
    calibration_error_by_person,
    calibration_rise,
    errors_by_person,
)
from fer_edge.evaluation.estimates import (
    RESAMPLES,
    Estimate,
    as_wide,
    estimated,
    estimated_mean,
    estimated_share,
    widest,
)
from fer_edge.evaluation.resampling import People, drawn_cells

Names = npt.NDArray[Any]
"""(N,) unicode, who is in each picture."""
_Tallies = tuple[npt.NDArray, npt.NDArray, npt.NDArray]
"""By class, (…, classes): images named rightly, images named so, and images that are so."""


@dataclass(frozen=True)
class Report:
    """How a model did on one set of labelled faces.

    Attributes:
        images: how many.
        labels: class names, in index order.
        accuracy, macro_f1, calibration_error: in 0..1; macro-F1 is the mean over the classes that
            occur in the set; the calibration error is the expected one over 15 bins, NaN where a
            probability is.
        precision, recall: by class, in 0..1; None for a class that was never predicted or does
            not occur.
        confusion: (classes, classes) counts, rows are the true classes.
    """

    images: int
    labels: tuple[str, ...]
    accuracy: Estimate
    macro_f1: Estimate
    calibration_error: Estimate
    precision: dict[str, Estimate | None]
    recall: dict[str, Estimate | None]
    confusion: tuple[tuple[int, ...], ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


@dataclass(frozen=True)
class Drop:
    """What a candidate lost against a reference on the same images.

    Attributes:
        accuracy: reference minus candidate, in 0..1, with the paired bootstrap's interval.
        recall: the same by class; None for a class that does not occur.
        macro_f1: reference minus candidate, in 0..1.
        calibration_error: candidate minus reference, in 0..1.
        agreement: share of images on which both say the same class.
        mean_difference, largest_difference: of a probability, absolute. The largest one's interval
            ends at it, since no resample holds a larger one.
        lost, won: images that only the reference, or only the candidate, has right.
        p_value: of McNemar's exact test that ``lost`` and ``won`` differ by chance alone, which
            takes images as independent.
    """

    accuracy: Estimate
    recall: dict[str, Estimate | None]
    macro_f1: Estimate
    calibration_error: Estimate
    agreement: Estimate
    mean_difference: Estimate
    largest_difference: Estimate
    lost: int
    won: int
    p_value: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; agreement and differences as plain numbers."""
        plain = ("agreement", "mean_difference", "largest_difference")
        return asdict(self) | {name: getattr(self, name).value for name in plain}


def report(
    probabilities: Probabilities,
    targets: Targets,
    labels: tuple[str, ...],
    seed: int = 0,
    *,
    subjects: Names | None = None,
) -> Report:
    """Measure predictions, (N, classes), against targets, (N,), with N at least 1.

    Args:
        probabilities: what a model said.
        targets: the true classes.
        labels: class names.
        seed: of the resamples.
        subjects: who is in each picture, where that is known.
    """
    classes = len(labels)
    predicted = probabilities.argmax(axis=1)
    right = predicted == targets
    confusion = confusion_matrix(targets, predicted, classes)
    rng = np.random.default_rng(seed)
    (true, said), drawn = drawn_cells((targets, predicted), classes, rng)
    measured = _report(
        labels,
        confusion,
        _tallies(true, said, classes, lambda of_cells: drawn @ of_cells),
        (len(targets), confusion.sum(axis=0), confusion.sum(axis=1)),
        calibration_error(probabilities, right, rng),
    )
    if subjects is None:
        return measured
    people = People(subjects, seed)

    def persons(numbers: npt.NDArray[Any]) -> npt.NDArray:
        return np.array([people.count(numbers == index) for index in range(classes)])

    by_person = _report(
        labels,
        confusion,
        _tallies(targets, predicted, classes, people.sums),
        (people.count(np.ones_like(right)), persons(predicted), persons(targets)),
        calibration_error_by_person(probabilities, right, people),
    )
    return widest(measured, by_person)


def drop(
    reference: Probabilities,
    candidate: Probabilities,
    targets: Targets,
    labels: tuple[str, ...],
    seed: int = 0,
    *,
    subjects: Names | None = None,
) -> Drop:
    """Compare two models' predictions, each (N, classes), on the same N images.

    Args:
        reference, candidate: what the two said.
        targets: the true classes, (N,).
        labels: class names.
        seed: of the resamples.
        subjects: who is in each picture, (N,), where that is known.
    """
    before, after = reference.argmax(axis=1), candidate.argmax(axis=1)
    right_before, right_after = before == targets, after == targets
    loss = right_before.astype(np.int8) - right_after.astype(np.int8)
    rng = np.random.default_rng(seed)
    by_class: dict[str, Estimate | None] = {}
    for index, label in enumerate(labels):
        own = loss[targets == index]
        by_class[label] = _mean_with_interval(own, rng) if len(own) else None
    difference = np.abs(reference - candidate)
    lost, won = int((loss > 0).sum()), int((loss < 0).sum())
    accuracy = _mean_with_interval(loss, rng)
    picks = rng.integers(len(targets), size=(RESAMPLES, len(targets)))
    mean, largest = difference.mean(axis=1), difference.max(axis=1)
    macro_f1 = _macro_f1_drop(targets, before, after, len(labels), rng)
    measured = Drop(
        accuracy=accuracy,
        recall=by_class,
        macro_f1=macro_f1 if lost and won else as_wide(macro_f1, accuracy, (-1.0, 1.0)),
        calibration_error=calibration_rise(
            (reference.max(axis=1), right_before), (candidate.max(axis=1), right_after), picks
        ),
        agreement=_share_with_interval(before == after, rng),
        mean_difference=estimated(mean.mean(), mean[picks].mean(axis=1)),
        largest_difference=estimated(largest.max(), largest[picks].max(axis=1)),
        lost=lost,
        won=won,
        p_value=mcnemar(lost, won),
    )
    if subjects is None:
        return measured
    people = People(subjects, seed)
    return widest(measured, _drop_by_person(measured, reference, candidate, targets, people))


def percent(estimate: Estimate | None) -> str:
    """A share with its interval, as people read it; a dash for None."""
    if estimate is None:
        return "–"
    return f"{estimate.value:.1%} ({estimate.low:.1%} – {estimate.high:.1%})"


def confusion_matrix(targets: Targets, predicted: npt.NDArray[Any], classes: int) -> npt.NDArray:
    """(classes, classes) counts; rows are true classes, columns predicted ones."""
    cells = targets.astype(np.int64) * classes + predicted
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def cross_entropy(probabilities: Probabilities, targets: Targets) -> float:
    """Mean of -log p of the true class, in nats, with p at least 1e-7 as Keras has it."""
    right = probabilities[np.arange(len(targets)), targets].astype(np.float64)
    return float(-np.log(np.maximum(right, 1e-7)).mean())


def mcnemar(lost: int, won: int) -> float:
    """Two-sided p-value of the exact test: ``lost`` out of ``lost + won`` fair coin flips."""
    flips = lost + won
    if flips == 0:
        return 1.0
    log_half = flips * math.log(0.5)
    tail = sum(
        math.exp(
            math.lgamma(flips + 1) - math.lgamma(k + 1) - math.lgamma(flips - k + 1) + log_half
        )
        for k in range(min(lost, won) + 1)
    )
    return min(1.0, 2 * tail)


def _report(
    labels: tuple[str, ...],
    confusion: npt.NDArray,
    drawn: _Tallies,
    counts: tuple[int, npt.NDArray, npt.NDArray],
    error: Estimate,
) -> Report:
    """A report out of its resamples.

    Args:
        labels: class names.
        confusion: (classes, classes) counts.
        drawn: the resamples'.
        counts: how many images or persons stand behind the accuracy, behind each class's precision
            and behind each class's recall.
        error: the calibration error.
    """
    everywhere, predicted, occurring = counts
    precision, recall, f1 = _rates(
        (np.diagonal(confusion), confusion.sum(axis=0), confusion.sum(axis=1))
    )
    precisions, recalls, f1s = _rates(drawn)
    accuracy = estimated_share(
        np.trace(confusion) / confusion.sum(),
        drawn[0].sum(axis=1) / drawn[2].sum(axis=1),
        everywhere,
    )
    macro_f1 = estimated(np.nanmean(f1), _mean_of_present(f1s))
    if accuracy.value in (0, 1):
        macro_f1 = as_wide(macro_f1, accuracy, (0.0, 1.0))
    return Report(
        images=int(confusion.sum()),
        labels=labels,
        accuracy=accuracy,
        macro_f1=macro_f1,
        calibration_error=error,
        precision=_by_class(labels, precision, precisions, predicted),
        recall=_by_class(labels, recall, recalls, occurring),
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
    )


def _drop_by_person(
    measured: Drop,
    reference: Probabilities,
    candidate: Probabilities,
    targets: Targets,
    people: People,
) -> Drop:
    """The same drop with the intervals that resampled persons give."""
    before, after = reference.argmax(axis=1), candidate.argmax(axis=1)
    right_before, right_after = before == targets, after == targets
    loss = right_before.astype(np.int8) - right_after.astype(np.int8)
    every = np.ones(len(targets), bool)

    def lost(which: npt.NDArray[np.bool_]) -> Estimate:
        return estimated_mean(loss[which], people.means(loss, which), people.count(which))

    by_class = {
        label: None if known is None else lost(targets == index)
        for index, (label, known) in enumerate(measured.recall.items())
    }
    accuracy = lost(every)
    f1_before, f1_after = (
        _mean_of_present(_rates(_tallies(targets, said, len(by_class), people.sums))[2])
        for said in (before, after)
    )
    macro_f1 = estimated(measured.macro_f1.value, f1_before - f1_after)
    if not (measured.lost and measured.won):
        macro_f1 = as_wide(macro_f1, accuracy, (-1.0, 1.0))
    errors_before, errors_after = (
        errors_by_person(said.max(axis=1), right, people)
        for said, right in ((reference, right_before), (candidate, right_after))
    )
    rise, risen = measured.calibration_error.value, errors_after - errors_before
    same = before == after
    difference = np.abs(reference - candidate)
    mean, largest = difference.mean(axis=1), difference.max(axis=1)
    return replace(
        measured,
        accuracy=accuracy,
        recall=by_class,
        macro_f1=macro_f1,
        calibration_error=estimated(rise, risen - (risen.mean() - rise)),
        agreement=estimated_share(same.mean(), people.means(same, every), people.count(every)),
        mean_difference=estimated(mean.mean(), people.means(mean, every)),
        largest_difference=estimated(largest.max(), people.largest(largest)),
    )


def _macro_f1_drop(
    targets: Targets,
    before: npt.NDArray[Any],
    after: npt.NDArray[Any],
    classes: int,
    rng: np.random.Generator,
) -> Estimate:
    """By draws of the joint counts of true class and both answers, so that it is paired."""
    (true, first, second), drawn = drawn_cells((targets, before, after), classes, rng)

    def lost(one: _Tallies, other: _Tallies) -> npt.NDArray:
        return np.asarray(_mean_of_present(_rates(one)[2]) - _mean_of_present(_rates(other)[2]))

    def all_images(of_images: npt.NDArray) -> npt.NDArray:
        return np.asarray(of_images.sum(axis=0))

    def resamples(of_cells: npt.NDArray) -> npt.NDArray:
        return drawn @ of_cells

    value = lost(*(_tallies(targets, said, classes, all_images) for said in (before, after)))
    return estimated(
        value, lost(*(_tallies(true, said, classes, resamples) for said in (first, second)))
    )


def _tallies(
    true: npt.NDArray[Any],
    said: npt.NDArray[Any],
    classes: int,
    sums: Callable[[npt.NDArray], npt.NDArray],
) -> _Tallies:
    """Count by class.

    Args:
        true, said: class numbers, (N,), of images or of cells of them.
        classes: how many.
        sums: (N, classes) to (…, classes), over all images or those of each resample.
    """
    occurring, predicted = np.eye(classes)[true], np.eye(classes)[said]
    return sums(occurring * predicted), sums(predicted), sums(occurring)


def _mean_with_interval(values: npt.NDArray[np.int8], rng: np.random.Generator) -> Estimate:
    """Mean of -1, 0 and 1 with its bootstrap interval, by multinomial draws of the three counts."""
    images = len(values)
    counts = np.array([(values == step).sum() for step in (-1, 0, 1)])
    drawn = rng.multinomial(images, counts / images, RESAMPLES)
    return estimated_mean(values, (drawn[:, 2] - drawn[:, 0]) / images, images)


def _share_with_interval(given: npt.NDArray[np.bool_], rng: np.random.Generator) -> Estimate:
    share = given.mean()
    drawn = rng.multinomial(len(given), [1 - share, share], RESAMPLES)
    return estimated_share(share, drawn[:, 1] / len(given), len(given))


def _rates(tallies: _Tallies) -> tuple[npt.NDArray, npt.NDArray, npt.NDArray]:
    """Precision, recall and F1 by class over the last axis; NaN where a class does not occur."""
    right, predicted, occurring = tallies
    with np.errstate(divide="ignore", invalid="ignore"):
        precision, recall = right / predicted, right / occurring
        f1 = np.where(occurring > 0, 2 * right / (predicted + occurring), np.nan)
    return precision, recall, f1


def _mean_of_present(values: npt.NDArray) -> npt.NDArray:
    present = ~np.isnan(values)
    return np.where(present, values, 0).sum(axis=-1) / np.maximum(present.sum(axis=-1), 1)


def _by_class(
    labels: tuple[str, ...], values: npt.NDArray, resampled: npt.NDArray, counts: npt.NDArray
) -> dict[str, Estimate | None]:
    return {
        label: None
        if np.isnan(values[i])
        else estimated_share(values[i], resampled[:, i], int(counts[i]))
        for i, label in enumerate(labels)
    }
