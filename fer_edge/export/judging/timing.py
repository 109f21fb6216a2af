"""Latency of several models against one another, in one run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fer_edge.runtime import Model

WARM_UP = 20
RUNS = 200


@dataclass(frozen=True)
class Latency:
    """Milliseconds for one face, from raw pixels to probabilities."""

    p50: float
    p90: float
    p99: float


def compare_latency(
    models: Mapping[str, Model], face: np.ndarray, warm_up: int = WARM_UP, runs: int = RUNS
) -> dict[str, Latency]:
    """Time models on one face, (1, 48, 48, 1) uint8.

    They take turns, so that whatever else the machine does meets all of them alike.
    """
    for model in models.values():
        for _ in range(warm_up):
            model.probabilities(face)
    taken = {name: np.empty(runs) for name in models}
    for run in range(runs):
        for name, model in models.items():
            started = time.perf_counter_ns()
            model.probabilities(face)
            taken[name][run] = (time.perf_counter_ns() - started) / 1e6
    return {
        name: Latency(*(float(value) for value in np.percentile(times, [50, 90, 99])))
        for name, times in taken.items()
    }
