"""A figure with the interval that the size of the sample allows."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Figures = TypeVar("_Figures", bound="DataclassInstance")
RESAMPLES = 1000
"""Bootstrap resamples behind every interval."""
_Z = 1.96
"""Standard errors to either side of a 95% interval."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95% interval, all in the unit of the figure.

    The interval is the bootstrap's, except for shares and their differences in samples that lack
    one of the possible outcomes: no resample shows what the sample does not hold. Where it is known
    who is in the pictures, whole persons are drawn, and an interval is as wide as that makes it,
    but never narrower than that of pictures drawn one by one: few persons tell little of others.
    """

    value: float
    low: float
    high: float


def estimated(value: Any, resampled: npt.NDArray) -> Estimate:
    """A figure with the interval of its resamples, of which those that are NaN do not count."""
    kept = resampled[~np.isnan(resampled)]
    low, high = np.percentile(kept, [2.5, 97.5]) if len(kept) else (value, value)
    return Estimate(float(value), float(low), float(high))


def estimated_share(value: Any, resampled: npt.NDArray, count: int) -> Estimate:
    """A share of ``count`` images, or of those of ``count`` persons.

    Where it is all or nothing of them, with Wilson's interval.
    """
    unseen = _Z**2 / (count + _Z**2)
    if value == 1:
        return Estimate(1.0, 1 - unseen, 1.0)
    return Estimate(0.0, 0.0, unseen) if value == 0 else estimated(value, resampled)


def as_wide(measured: Estimate, other: Estimate, within: tuple[float, float]) -> Estimate:
    """An estimate whose interval reaches as far to either side as another one's, at least."""
    value = measured.value
    low = min(measured.low, value - (other.value - other.low))
    high = max(measured.high, value + (other.high - other.value))
    return Estimate(value, max(low, within[0]), min(high, within[1]))


def estimated_mean(
    values: npt.NDArray[np.int8], resampled: npt.NDArray, independent: int
) -> Estimate:
    """Mean of -1, 0 and 1, of so many independent images or persons.

    Where one of the three does not occur, the interval is at least as wide as if each had occurred
    once more: seven images that both models have right do not tell that they never differ.
    """
    measured = estimated(values.mean(), resampled)
    counts = np.array([(values == step).sum() for step in (-1, 0, 1)])
    if counts.all():
        return measured
    won, _, lost = (counts * independent / len(values) + 1) / (independent + 3)
    spread = _Z * math.sqrt((won + lost - (lost - won) ** 2) / independent)
    wide = Estimate(measured.value, measured.value - spread, measured.value + spread)
    return as_wide(measured, wide, (-1.0, 1.0))


def widest(measured: _Figures, other: _Figures) -> _Figures:
    """The same figures, each interval reaching to what either says."""

    def both(one: Estimate, another: Estimate) -> Estimate:
        return Estimate(one.value, min(one.low, another.low), max(one.high, another.high))

    changed: dict[str, Any] = {}
    for name, value in vars(measured).items():
        beside = getattr(other, name)
        if isinstance(value, Estimate):
            changed[name] = both(value, beside)
        elif isinstance(value, dict):
            changed[name] = {key: each and both(each, beside[key]) for key, each in value.items()}
    return replace(measured, **changed)
