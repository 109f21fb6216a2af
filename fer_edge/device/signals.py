"""Ctrl-C and SIGTERM end a run between two frames, so that its outputs are finished properly."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Any

from fer_edge.device.opened import Opened

_SAME_WISH = 1.0  # seconds: a terminal and a wrapper such as timeout both send the same Ctrl-C


class StopRequest(Opened):
    """A context manager that notes a SIGINT or SIGTERM; one that comes again acts as usual."""

    def __init__(self) -> None:
        self.signal: int | None = None
        """Which signal came first, or None."""
        self._since = 0.0
        self._previous: dict[int, Any] = {}

    def open(self) -> None:
        """Take the signals, in the main thread."""
        # Python allows handlers in the main thread only; elsewhere whoever owns that one decides
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._note)

    def close(self) -> None:
        """Give them back."""
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal, self._since = number, time.monotonic()
        elif time.monotonic() - self._since > _SAME_WISH:
            self._restore()
            signal.raise_signal(number)

    def _restore(self) -> None:
        while self._previous:
            number, handler = self._previous.popitem()
            signal.signal(number, handler)
