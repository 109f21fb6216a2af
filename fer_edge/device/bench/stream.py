"""Single stream: one query after the other, of one subject or of several in turns."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fer_edge.device.bench.rule import Rule

Query = Callable[[], float]
"""Puts one query to a subject and returns the milliseconds that it took."""

Times = npt.NDArray[np.float64]
"""(queries,) milliseconds, in the order in which they were measured."""


@dataclass(frozen=True)
class Stream:
    """What was measured of subjects that took turns."""

    times: tuple[Times, ...]
    """Of each subject, all of one length."""
    warm_up: int
    """Queries to each before, not counted."""
    seconds: float
    """From the first measured query to the last."""
    complete: bool
    """Whether the rule was met; False when somebody ended it before."""


def measure(queries: Sequence[Query], rule: Rule, stopped: Callable[[], bool]) -> Stream:
    """Warm up, then measure until the rule is met or somebody ends it.

    Several subjects are asked in turns, every other time in reverse order, so that whatever else
    the machine does meets all alike; the seconds of the rule then count once for each.
    """
    share = len(queries)
    seconds = rule.warm_up_seconds * share
    warm_up = len(_repeat(queries, seconds, rule.warm_up_queries, stopped)[0])
    began = time.perf_counter()
    times = _repeat(queries, rule.min_seconds * share, rule.min_queries, stopped)
    elapsed = time.perf_counter() - began
    complete = len(times[0]) >= rule.min_queries and elapsed >= rule.min_seconds * share
    return Stream(tuple(np.asarray(each) for each in times), warm_up, elapsed, complete)


def _repeat(
    queries: Sequence[Query], seconds: float, least: int, stopped: Callable[[], bool]
) -> list[array[float]]:
    times = [array("d") for _ in queries]
    forth = list(zip(queries, times, strict=True))
    back = forth[::-1]
    end = time.perf_counter() + seconds
    turns = 0
    while (turns < least or time.perf_counter() < end) and not stopped():
        for query, taken in back if turns % 2 else forth:
            taken.append(query())
        turns += 1
    return times
