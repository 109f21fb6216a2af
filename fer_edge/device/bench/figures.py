"""Latencies in figures: percentiles of one subject, and ratios of two that took turns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fer_edge.device.bench.stream import Times
from fer_edge.device.latency import Percentiles

_STUDENT = {32: 2.040, 16: 2.131, 8: 2.365, 4: 3.182}
"""97.5% quantile of Student's t, by the number of blocks that an interval rests on."""
_LEAST = 32
"""Queries in a block, so that it has a 90th percentile."""

STATISTICS: dict[str, Callable[[Times], float]] = {
    "p50": lambda times: Percentiles.of(times).p50,
    "p90": lambda times: Percentiles.of(times).p90,
    "mean": lambda times: float(times.mean()),
}
"""What ratios are given of; a 99th percentile would need longer blocks."""


def figures(times: Times) -> dict[str, float]:
    """Milliseconds, for JSON: mean, min, p50, p90, p99, max."""
    found = Percentiles.of(times)
    numbers = {
        "mean": float(times.mean()),
        "min": float(times.min()),
        "p50": found.p50,
        "p90": found.p90,
        "p99": found.p99,
        "max": found.longest,
    }
    return {name: round(value, 6) for name, value in numbers.items()}


def paired_ratios(times: Times, against: Times) -> dict[str, Any] | None:
    """How much longer one subject took than another with which it took turns.

    Both series are cut into the same blocks of consecutive queries. A ratio is the geometric mean
    of the blocks' ratios, with its 95% interval by Student's t over their logarithms: what slowed
    the machine for a while is in both halves of a block's ratio.

    Returns:
        For JSON: the number of blocks and, for each statistic, value, low and high; None when
        there are too few queries.
    """
    queries = min(len(times), len(against))
    blocks = next((blocks for blocks in _STUDENT if queries >= blocks * _LEAST), None)
    if blocks is None:
        return None
    ones, others = (np.array_split(series[:queries], blocks) for series in (times, against))
    found: dict[str, Any] = {"blocks": blocks}
    for name, of in STATISTICS.items():
        logs = np.log([of(one) / of(other) for one, other in zip(ones, others, strict=True)])
        middle, margin = logs.mean(), _STUDENT[blocks] * logs.std(ddof=1) / np.sqrt(blocks)
        value, low, high = np.exp([middle, middle - margin, middle + margin])
        found[name] = {
            "value": round(float(value), 4),
            "low": round(float(low), 4),
            "high": round(float(high), 4),
        }
    return found
