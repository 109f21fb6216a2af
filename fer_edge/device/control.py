"""Inference can be stopped and started again while a run goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable

from fer_edge.device.sources import Frame

_LOOK_EVERY = 0.1  # seconds between two looks at whether the run is to end


class Control:
    """A switch that any thread may turn; it is on at first."""

    def __init__(self) -> None:
        self.let_go = 0
        """Frames that a camera took meanwhile; nobody looked at them."""
        self._on = threading.Event()
        self._on.set()

    @property
    def running(self) -> bool:
        """Whether frames are looked at."""
        return self._on.is_set()

    def start(self) -> None:
        """Look at frames again."""
        self._on.set()

    def stop(self) -> None:
        """Look at no further frame until ``start``."""
        self._on.clear()

    def gate(
        self,
        frames: Iterable[Frame],
        *,
        live: bool,
        stopped: Callable[[], bool],
        idle: Callable[[], None] = lambda: None,
    ) -> Generator[Frame]:
        """Yield the frames while the switch is on.

        While it is off, a camera's frames are let go, so that its faults are still noticed;
        a recording waits.

        Args:
            frames: from one source.
            live: whether that is a camera.
            stopped: whether somebody wants the run to end.
            idle: called again and again while the switch is off and all else is well.
        """
        for frame in frames:
            if live and not self.running:
                self.let_go += 1
                idle()
                if stopped():
                    return
                continue
            while not self._on.wait(_LOOK_EVERY):
                idle()
                if stopped():
                    return
            yield frame
