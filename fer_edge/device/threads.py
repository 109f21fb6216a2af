"""How many threads an inference may have: a number beyond the cores gains nothing."""

from __future__ import annotations

import os

from fer_edge.errors import FerEdgeError


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def check_threads(threads: int) -> None:
    """Raise FerEdgeError where there are fewer cores; a runtime starts as many as it is told."""
    if threads > cores():
        raise FerEdgeError(
            f"{threads} threads are more than this process has cores, {cores()}",
            f"for example --threads {cores()}",
        )
