"""What a run tells of itself while it goes on, to the web page, to Prometheus and over MQTT."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from fer_edge.board import Board
from fer_edge.device.classifier import Classifier
from fer_edge.device.control import Control
from fer_edge.device.outputs.base import Lossy, Output
from fer_edge.device.sources import Source
from fer_edge.device.summary import Tally

STALLED_S = 10.0
"""Seconds without a frame after which a run is not well."""


@dataclass(frozen=True)
class Vitals:
    """The parts of a run that count something. Any thread may read them; none is changed here."""

    tally: Tally
    source: Source
    classifier: Classifier
    board: Board
    control: Control
    outputs: list[Output] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def status(self) -> dict[str, Any]:
        """Return the counts so far and the windowed percentiles, ready for JSON."""
        counts, tally = self.source.counts, self.tally
        recent = {stage: tally.latencies.recent(stage) for stage in tally.latencies.stages}
        return {
            "running": self.control.running,
            "seconds": round(time.monotonic() - self.started, 1),
            "source": self.source.name,
            "model": self.classifier.name,
            "machine": str(self.board),
            "frames": {
                "read": tally.frames,
                "with_faces": tally.with_faces,
                "unreadable": counts.unreadable,
                "dropped": counts.dropped,
                "paused": self.control.let_go,
            },
            "faces": tally.faces,
            "labels": dict(tally.labels),
            "events": dict(tally.events),
            "faults": dict(counts.faults),
            "lost": self.lost(),
            "latency_ms": {
                stage: found.to_dict() for stage, found in recent.items() if found is not None
            },
        }

    def lost(self) -> dict[str, int]:
        """Events that each output lost, by its name."""
        return {output.name: output.lost for output in self.outputs if isinstance(output, Lossy)}


class Rate:
    """Events a second between two looks at a growing count."""

    def __init__(self) -> None:
        self._count = 0
        self._since = time.monotonic()

    def of(self, count: int) -> float:
        """Return the rate since the last call."""
        now = time.monotonic()
        rate = (count - self._count) / max(now - self._since, 1e-6)
        self._count, self._since = count, now
        return round(rate, 1)


class Pulse:
    """Whether frames still come."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def beat(self) -> None:
        """Note that there was a frame."""
        self._last = time.monotonic()

    @property
    def age(self) -> float:
        """Seconds since the newest frame, or since the start."""
        return time.monotonic() - self._last
