"""How long each stage takes: percentiles over the whole run and over a window, in fixed memory."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

STAGES = ("capture", "detect", "crop", "infer", "total", "output")
"""Stages in the order of the pipeline; total is capture to infer, frame to label."""

WINDOW = 300
"""Newest measurements that windowed percentiles look at."""

_STEP = 1.01  # neighbouring histogram bins differ by 1%
_LEAST_MS = 1e-3
_BINS = math.ceil(math.log(1e9) / math.log(_STEP))  # 1 µs to 1000 s


@dataclass(frozen=True)
class Percentiles:
    """Milliseconds that 50, 90 and 99 of 100 measurements stayed within, and the longest one."""

    count: int
    p50: float
    p90: float
    p99: float
    longest: float

    @classmethod
    def of(cls, milliseconds: Sequence[float] | npt.NDArray[np.float64]) -> Percentiles:
        """The exact ones of one measurement or more."""
        p50, p90, p99 = np.percentile(milliseconds, (50, 90, 99), method="inverted_cdf")
        longest = float(np.max(milliseconds))
        return cls(len(milliseconds), float(p50), float(p90), float(p99), longest)

    def to_dict(self) -> dict[str, float]:
        """Return the numbers for JSON, in ms, rounded to a microsecond."""
        numbers = {"p50": self.p50, "p90": self.p90, "p99": self.p99, "max": self.longest}
        return {name: round(value, 3) for name, value in numbers.items()}


class LatencyRecorder:
    """Measurements of every stage, in a histogram of 1% wide bins and a window of the newest.

    Percentiles over the whole run are within 1% of the exact ones; those over the window, and the
    longest measurement, are exact.
    """

    def __init__(self, stages: tuple[str, ...] = STAGES, window: int = WINDOW) -> None:
        self.stages = stages
        self._bins = {stage: np.zeros(_BINS + 1, np.int64) for stage in stages}
        self._longest = dict.fromkeys(stages, 0.0)
        self._sum = dict.fromkeys(stages, 0.0)
        self._newest: dict[str, deque[float]] = {stage: deque(maxlen=window) for stage in stages}

    def add(self, stage: str, milliseconds: float) -> None:
        """Record one measurement of a stage."""
        if milliseconds <= _LEAST_MS:
            place = 0
        else:
            place = min(_BINS, round(math.log(milliseconds / _LEAST_MS) / math.log(_STEP)))
        self._bins[stage][place] += 1
        self._longest[stage] = max(self._longest[stage], milliseconds)
        self._sum[stage] += milliseconds
        self._newest[stage].append(milliseconds)

    def overall(self, stage: str) -> Percentiles | None:
        """Percentiles since the start, or None when nothing was recorded."""
        bins = self._bins[stage]
        count = int(bins.sum())
        if count == 0:
            return None
        ranks = [math.ceil(count * share) for share in (0.5, 0.9, 0.99)]
        places = np.searchsorted(np.cumsum(bins), ranks)
        longest = self._longest[stage]
        p50, p90, p99 = (min(longest, _LEAST_MS * _STEP ** int(place)) for place in places)
        return Percentiles(count, p50, p90, p99, longest)

    def within(self, stage: str, bounds: Sequence[float]) -> tuple[list[int], float]:
        """Return how many measurements stayed within each of ``bounds``, and the sum of all, in ms.

        A measurement within 1% of a bound may be counted on either side of it.
        """
        cumulative = np.cumsum(self._bins[stage])
        places = [round(math.log(bound / _LEAST_MS) / math.log(_STEP)) for bound in bounds]
        return [int(cumulative[min(place, _BINS)]) for place in places], self._sum[stage]

    def recent(self, stage: str) -> Percentiles | None:
        """Percentiles over the newest ``window`` measurements, or None when there is none.

        May be asked from another thread than the one that adds.
        """
        newest = list(self._newest[stage])  # at once, as the deque may grow meanwhile
        return Percentiles.of(newest) if newest else None
