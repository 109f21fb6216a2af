"""Ctrl-C, SIGTERM and a terminal that hangs up end a run between two frames: its outputs are
finished properly."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Any

from fer_edge.device.opened import Opened
from fer_edge.signals import leave_terminal

_SAME_WISH = 1.0  # seconds: a terminal and a wrapper such as timeout both send the same Ctrl-C


class StopRequest(Opened):
    """A context manager that notes a SIGINT, SIGTERM or SIGHUP.

    One of the first two that comes again acts as usual. SIGHUP is left ignored where it is, as by
    nohup.
    """

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
            if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
                self._previous[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._hang_up)

    def close(self) -> None:
        """Give them back."""
        self._restore()

    @property
    def interrupted(self) -> bool:
        """Whether somebody broke the run off; SIGTERM is an order to end, and so a success."""
        return self.signal in (signal.SIGINT, signal.SIGHUP)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal, self._since = number, time.monotonic()
        elif time.monotonic() - self._since > _SAME_WISH:
            self._restore()
            signal.raise_signal(number)

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        leave_terminal()
        self._previous.pop(number, None)  # it stays ignored
        if self.signal is None:
            self.signal, self._since = number, time.monotonic()

    def _restore(self) -> None:
        while self._previous:
            number, handler = self._previous.popitem()
            signal.signal(number, handler)
