"""Figures of merit of a classifier, each with the interval that the size of the sample allows."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Probabilities = npt.NDArray[np.float32]
Targets = npt.NDArray[np.uint8]

RESAMPLES = 1000
"""Bootstrap resamples behind every interval."""
CALIBRATION_BINS = 15
"""Bins of equal width over the confidence, as in Guo et al. 2017 (arXiv 1706.04599)."""
_Z = 1.96
"""Standard errors to either side of a 95% interval."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95% interval, all in the unit of the figure.

    The interval is the bootstrap's, except for shares and their differences in samples that lack
    one of the possible outcomes: no resample shows what the sample does not hold.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Bin:
    """Answers of about the same confidence, for a reliability diagram.

    Attributes:
        images: how many.
        confidence, accuracy: their means, in 0..1.
    """

    images: int
    confidence: float
    accuracy: float


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
        p_value: of McNemar's exact test that ``lost`` and ``won`` differ by chance alone.
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
    probabilities: Probabilities, targets: Targets, labels: tuple[str, ...], seed: int = 0
) -> Report:
    """Measure predictions, (N, classes), against targets, (N,), with N at least 1."""
    classes = len(labels)
    predicted = probabilities.argmax(axis=1)
    confusion = confusion_matrix(targets, predicted, classes)
    # a bootstrap of images is a multinomial draw of the confusion matrix's cells
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(targets), confusion.ravel() / len(targets), RESAMPLES)
    resampled = drawn.reshape(RESAMPLES, classes, classes)
    precision, recall, f1 = _rates(confusion)
    precisions, recalls, f1s = _rates(resampled)
    accuracy = _share(_accuracy(confusion), _accuracy(resampled), len(targets))
    macro_f1 = _estimate(np.nanmean(f1), _mean_of_present(f1s))
    if accuracy.value in (0, 1):
        macro_f1 = _as_wide(macro_f1, accuracy, (0.0, 1.0))
    return Report(
        images=len(targets),
        labels=labels,
        accuracy=accuracy,
        macro_f1=macro_f1,
        calibration_error=_calibration(probabilities, predicted == targets, rng),
        precision=_by_class(labels, precision, precisions, confusion.sum(axis=0)),
        recall=_by_class(labels, recall, recalls, confusion.sum(axis=1)),
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
    )


def drop(
    reference: Probabilities,
    candidate: Probabilities,
    targets: Targets,
    labels: tuple[str, ...],
    seed: int = 0,
) -> Drop:
    """Compare two models' predictions, each (N, classes), on the same N images."""
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
    return Drop(
        accuracy=accuracy,
        recall=by_class,
        macro_f1=macro_f1 if lost and won else _as_wide(macro_f1, accuracy, (-1.0, 1.0)),
        calibration_error=_calibration_rise(
            (reference.max(axis=1), right_before), (candidate.max(axis=1), right_after), picks
        ),
        agreement=_share_with_interval(before == after, rng),
        mean_difference=_estimate(mean.mean(), mean[picks].mean(axis=1)),
        largest_difference=_estimate(largest.max(), largest[picks].max(axis=1)),
        lost=lost,
        won=won,
        p_value=mcnemar(lost, won),
    )


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


def expected_calibration_error(
    confidence: npt.NDArray[Any], right: npt.NDArray[np.bool_], bins: int = CALIBRATION_BINS
) -> float:
    """Mean gap between confidence and accuracy over bins of the confidence, weighted by count.

    NaN where a confidence is none.
    """
    if not np.isfinite(confidence).all():
        return math.nan
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    gap = np.bincount(which, weights=right - confidence.astype(np.float64), minlength=bins)
    return float(np.abs(gap).sum() / len(confidence))


def reliability(
    probabilities: Probabilities, targets: Targets, bins: int = CALIBRATION_BINS
) -> tuple[Bin, ...]:
    """Confidence beside accuracy, in bins of equal width over the confidence; none is empty.

    Answers that are no numbers are in none.
    """
    numbers = np.isfinite(probabilities).all(axis=1)
    probabilities, targets = probabilities[numbers], targets[numbers]
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == targets
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    return tuple(
        Bin(int(own.sum()), float(confidence[own].mean()), float(right[own].mean()))
        for own in (which == index for index in range(bins))
        if own.any()
    )


def _calibration(
    probabilities: Probabilities, right: npt.NDArray[np.bool_], rng: np.random.Generator
) -> Estimate:
    confidence = probabilities.max(axis=1)
    picks = rng.integers(len(right), size=(RESAMPLES, len(right)))
    drawn = np.array([expected_calibration_error(confidence[pick], right[pick]) for pick in picks])
    value = expected_calibration_error(confidence, right)
    # resampling adds noise to every bin, and absolute gaps only grow by it: take that bias out
    return _estimate(value, np.maximum(drawn - (drawn.mean() - value), 0))


def _macro_f1_drop(
    targets: Targets,
    before: npt.NDArray[Any],
    after: npt.NDArray[Any],
    classes: int,
    rng: np.random.Generator,
) -> Estimate:
    """By draws of the joint counts of true class and both answers, so that it is paired."""
    cells = (targets.astype(np.int64) * classes + before) * classes + after
    counts = np.bincount(cells, minlength=classes**3)
    drawn = rng.multinomial(len(targets), counts / len(targets), RESAMPLES)

    def lost(joint: npt.NDArray) -> npt.NDArray:
        cube = joint.reshape(-1, classes, classes, classes)
        f1 = [_mean_of_present(_rates(cube.sum(axis=axis))[2]) for axis in (3, 2)]
        return np.asarray(f1[0] - f1[1])

    return _estimate(lost(counts)[0], lost(drawn))


def _calibration_rise(
    before: tuple[npt.NDArray[Any], npt.NDArray[np.bool_]],
    after: tuple[npt.NDArray[Any], npt.NDArray[np.bool_]],
    picks: npt.NDArray[np.int64],
) -> Estimate:
    """From pairs of confidence and right or wrong, on the same images, (RESAMPLES, N) picks."""
    (first, right_first), (second, right_second) = before, after
    rise = expected_calibration_error(second, right_second) - expected_calibration_error(
        first, right_first
    )
    drawn = np.array(
        [
            expected_calibration_error(second[pick], right_second[pick])
            - expected_calibration_error(first[pick], right_first[pick])
            for pick in picks
        ]
    )
    # resampling raises either error by about as much, and what does not cancel is bias
    return _estimate(rise, drawn - (drawn.mean() - rise))


def _mean_with_interval(values: npt.NDArray[np.int8], rng: np.random.Generator) -> Estimate:
    """Mean of -1, 0 and 1 with its bootstrap interval, by multinomial draws of the three counts.

    Where one of the three does not occur, the interval is at least as wide as if each had occurred
    once more: seven images that both models have right do not tell that they never differ.
    """
    images = len(values)
    counts = np.array([(values == step).sum() for step in (-1, 0, 1)])
    drawn = rng.multinomial(images, counts / images, RESAMPLES)
    measured = _estimate(values.mean(), (drawn[:, 2] - drawn[:, 0]) / images)
    if counts.all():
        return measured
    won, _, lost = (counts + 1) / (images + 3)
    spread = _Z * math.sqrt((won + lost - (lost - won) ** 2) / images)
    wide = Estimate(measured.value, measured.value - spread, measured.value + spread)
    return _as_wide(measured, wide, (-1.0, 1.0))


def _share_with_interval(given: npt.NDArray[np.bool_], rng: np.random.Generator) -> Estimate:
    share = given.mean()
    drawn = rng.multinomial(len(given), [1 - share, share], RESAMPLES)
    return _share(share, drawn[:, 1] / len(given), len(given))


def _share(value: Any, resampled: npt.NDArray, count: int) -> Estimate:
    """A share of ``count``; where it is all or nothing of them, with Wilson's interval."""
    unseen = _Z**2 / (count + _Z**2)
    if value == 1:
        return Estimate(1.0, 1 - unseen, 1.0)
    return Estimate(0.0, 0.0, unseen) if value == 0 else _estimate(value, resampled)


def _as_wide(measured: Estimate, other: Estimate, within: tuple[float, float]) -> Estimate:
    """An estimate whose interval reaches as far to either side as another one's, at least."""
    value = measured.value
    low = min(measured.low, value - (other.value - other.low))
    high = max(measured.high, value + (other.high - other.value))
    return Estimate(value, max(low, within[0]), min(high, within[1]))


def _accuracy(confusion: npt.NDArray) -> npt.NDArray:
    return np.trace(confusion, axis1=-2, axis2=-1) / confusion.sum(axis=(-2, -1))


def _rates(confusion: npt.NDArray) -> tuple[npt.NDArray, npt.NDArray, npt.NDArray]:
    """Precision, recall and F1 by class over the last axes; NaN where a class does not occur."""
    right = np.diagonal(confusion, axis1=-2, axis2=-1).astype(float)
    predicted, occurring = confusion.sum(axis=-2), confusion.sum(axis=-1)
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
        label: None if np.isnan(values[i]) else _share(values[i], resampled[:, i], int(counts[i]))
        for i, label in enumerate(labels)
    }


def _estimate(value: Any, resampled: npt.NDArray) -> Estimate:
    kept = resampled[~np.isnan(resampled)]
    low, high = np.percentile(kept, [2.5, 97.5]) if len(kept) else (value, value)
    return Estimate(float(value), float(low), float(high))
