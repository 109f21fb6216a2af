"""How far a classifier's confidence lies from how often it is right."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.evaluation.estimates import RESAMPLES, Estimate, estimated
from fer_edge.evaluation.resampling import People

Probabilities = npt.NDArray[np.float32]
Targets = npt.NDArray[np.uint8]

CALIBRATION_BINS = 15
"""Bins of equal width over the confidence, as in Guo et al. 2017 (arXiv 1706.04599)."""


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


def calibration_error(
    probabilities: Probabilities, right: npt.NDArray[np.bool_], rng: np.random.Generator
) -> Estimate:
    """The expected calibration error with the interval of resampled images.

    Args:
        probabilities: (N, classes).
        right: (N,), whether the most probable class is the true one.
        rng: draws.
    """
    confidence = probabilities.max(axis=1)
    picks = rng.integers(len(right), size=(RESAMPLES, len(right)))
    drawn = np.array([expected_calibration_error(confidence[pick], right[pick]) for pick in picks])
    value = expected_calibration_error(confidence, right)
    # resampling adds noise to every bin, and absolute gaps only grow by it: take that bias out
    return estimated(value, np.maximum(drawn - (drawn.mean() - value), 0))


def calibration_error_by_person(
    probabilities: Probabilities, right: npt.NDArray[np.bool_], people: People
) -> Estimate:
    """The same with the interval of resampled persons."""
    confidence = probabilities.max(axis=1)
    value = expected_calibration_error(confidence, right)
    drawn = errors_by_person(confidence, right, people)
    return estimated(value, np.maximum(drawn - (drawn.mean() - value), 0))


def errors_by_person(
    confidence: npt.NDArray[Any], right: npt.NDArray[np.bool_], people: People
) -> npt.NDArray[np.float64]:
    """Expected calibration error of each resample, (RESAMPLES,); NaN where a confidence is none.

    Args:
        confidence: (N,).
        right: (N,).
        people: draws them.
    """
    if not np.isfinite(confidence).all():
        return np.full(RESAMPLES, math.nan)
    which = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = np.zeros((len(right), CALIBRATION_BINS))
    gaps[np.arange(len(right)), which] = right - confidence.astype(np.float64)
    return np.abs(people.sums(gaps)).sum(axis=1) / people.sums(np.ones(len(right)))


def calibration_rise(
    before: tuple[npt.NDArray[Any], npt.NDArray[np.bool_]],
    after: tuple[npt.NDArray[Any], npt.NDArray[np.bool_]],
    picks: npt.NDArray[np.int64],
) -> Estimate:
    """By how much the expected calibration error rose, with the interval of resampled images.

    Args:
        before, after: confidence and whether it was right, (N,) each, on the same images.
        picks: (RESAMPLES, N), the images of each resample.
    """
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
    return estimated(rise, drawn - (drawn.mean() - rise))
