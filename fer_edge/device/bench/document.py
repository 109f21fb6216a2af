"""The complete JSON of a benchmark; what the machine does not tell is null, never left out."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge import __version__
from fer_edge.board import peak_memory_mib, read_board
from fer_edge.device.bench.figures import figures, paired_ratios
from fer_edge.device.bench.frames import Frames
from fer_edge.device.bench.rule import Rule
from fer_edge.device.bench.sensors import Look, held_back, summed_up
from fer_edge.device.bench.stream import Stream
from fer_edge.device.bench.subjects import LIBRARY, SEED
from fer_edge.device.classifier import Classifier
from fer_edge.opencv import load_opencv

KIND = "fer-edge bench"
VERSION = (1, 1)
"""A reader of another major version cannot read it; a higher minor one adds keys only."""


@dataclass(frozen=True)
class Point:
    """One scenario at one number of threads."""

    scenario: str
    """"model" or "pipeline"."""
    threads: int
    stream: Stream
    details: tuple[dict[str, Any], ...]
    """Of each model; see ``Subject``."""
    looks: tuple[Look, ...]
    """At the sensors, meanwhile."""


@dataclass(frozen=True)
class Session:
    """Everything that was learnt, before it is put into words and figures."""

    began: datetime
    seconds: float
    rule: Rule
    quick: bool
    complete: bool
    models: tuple[Classifier, ...]
    opened_s: tuple[float, ...]
    """Seconds that opening and proving each model took."""
    frames: Frames | None
    detector: dict[str, Any] | None
    points: tuple[Point, ...]
    before: Look
    after: Look
    idle_watts: float | None


def document(session: Session, root: Path = Path("/")) -> dict[str, Any]:
    """Put a session into plain values for JSON; ``root`` is where /proc and /etc are looked for."""
    board = read_board(root)
    peak = peak_memory_mib(root)
    looks = [look for point in session.points for look in point.looks]
    throttled, reasons = held_back(session.before, looks, session.after)
    return {
        "kind": KIND,
        "schema": "{}.{}".format(*VERSION),
        "time": session.began.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "seconds": round(session.seconds, 3),
        "quick": session.quick,
        "complete": session.complete,
        "throttled": throttled,
        "throttle_reasons": reasons,
        "rule": session.rule.to_dict(),
        "machine": board.to_dict(),
        "health": {"before": session.before.to_dict(), "after": session.after.to_dict()},
        "idle_watts": None if session.idle_watts is None else round(session.idle_watts, 3),
        "memory": {"peak_rss_mib": None if peak is None else round(peak, 1)},
        "versions": _versions(session),
        "models": [
            _model(classifier, seconds)
            for classifier, seconds in zip(session.models, session.opened_s, strict=True)
        ],
        "inputs": {
            "model": {"faces": LIBRARY, "content": "noise", "seed": SEED},
            "pipeline": None
            if session.frames is None
            else session.frames.to_dict() | {"detector": session.detector},
        },
        "results": [
            result for point in session.points for result in _results(point, session.idle_watts)
        ],
        "ratios": [ratio for point in session.points for ratio in _ratios(point)],
    }


def _versions(session: Session) -> dict[str, Any]:
    return {
        "fer_edge": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": load_opencv().__version__ if session.frames is not None else None,
        "runtime": session.models[0].model.runtime,
        "kernel": platform.release(),
    }


def _model(classifier: Classifier, opened_s: float) -> dict[str, Any]:
    return {
        "file": classifier.name,
        "member": classifier.member,
        "format": classifier.model.format,
        "runtime": classifier.model.runtime,
        "sha256": classifier.sha256,
        "model_sha256": classifier.sha256,
        "bundle_sha256": classifier.bundle_sha256,
        "verified": classifier.verified,
        "opened_s": round(opened_s, 3),
    }


def _results(point: Point, idle_watts: float | None) -> list[dict[str, Any]]:
    sensed = summed_up(point.looks)
    results = []
    for number, (times, details) in enumerate(zip(point.stream.times, point.details, strict=True)):
        latency = figures(times)
        results.append(
            {
                "model": number,
                "scenario": point.scenario,
                "threads": point.threads,
                "complete": point.stream.complete,
                "queries": len(times),
                "warm_up_queries": point.stream.warm_up,
                "seconds": round(point.stream.seconds, 3),
                "latency_ms": latency,
                "score_ms": latency["p90"],
                "per_second": round(1e3 / latency["mean"], 2),
                **details,
                "sensors": sensed,
                "energy_mj": _energy(sensed["watts_mean"], idle_watts, point.stream),
            }
        )
    return results


def _energy(
    watts: float | None, idle_watts: float | None, stream: Stream
) -> dict[str, float | None] | None:
    """Millijoules a query; None where unknown, and of models that took turns."""
    if watts is None or len(stream.times) != 1:
        return None
    each = stream.seconds / len(stream.times[0]) * 1e3
    above = None if idle_watts is None else round((watts - idle_watts) * each, 4)
    return {"whole": round(watts * each, 4), "above_idle": above}


def _ratios(point: Point) -> list[dict[str, Any]]:
    first, *others = point.stream.times
    found = []
    for number, times in enumerate(others, 1):
        ratio = paired_ratios(times, first)
        if ratio is not None:
            named = {"model": number, "against": 0}
            found.append({"scenario": point.scenario, "threads": point.threads, **named, **ratio})
    return found
