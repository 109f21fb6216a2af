"""One line in the terminal that says what goes on, a few times a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from fer_edge.device.latency import LatencyRecorder
from fer_edge.device.outputs.base import Output
from fer_edge.device.pipeline import Result

_EVERY = 0.2  # seconds between two updates: fast enough to read, slow enough to cost nothing


class StatusLine(Output):
    """Frame, rate, faces and windowed latency, on standard error; silent without a terminal."""

    def __init__(
        self,
        latencies: LatencyRecorder,
        console: Console,
        dropped: Callable[[], int] = lambda: 0,
    ) -> None:
        """``dropped`` tells how many frames the source dropped so far."""
        self._latencies = latencies
        self._dropped = dropped
        self._console = console
        self._status: Status | None = None
        self._updated = 0.0
        self._since = time.perf_counter()
        self._frames = 0

    def open(self) -> None:
        if self._console.is_terminal:
            self._status = self._console.status("waiting for the first frame")
            self._status.start()

    def close(self) -> None:
        if self._status is not None:
            self._status.stop()

    def write(self, result: Result) -> None:
        """Count the frame; show it when the last update is old enough."""
        self._frames += 1
        now = time.perf_counter()
        if self._status is None or now - self._updated < _EVERY:
            return
        rate = self._frames / (now - self._since)
        self._updated = self._since = now
        self._frames = 0
        self._status.update(escape(self._text(result, rate)))

    def finish(self, summary: dict[str, Any]) -> None:
        """Nothing to do: the line goes away, the table follows."""

    def _text(self, result: Result, rate: float) -> str:
        faces = ", ".join(f"{face.label} {face.confidence:.0%}" for face in result.faces)
        parts = [f"frame {result.frame.index}", f"{rate:.0f} frames/s", faces or "no face"]
        if dropped := self._dropped():
            parts.append(f"{dropped} dropped")
        if recent := self._latencies.recent("total"):
            parts.append(f"p50 {recent.p50:.1f} ms, p90 {recent.p90:.1f} ms")
        return " · ".join(parts)
