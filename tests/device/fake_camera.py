"""A fake camera that does what a script says: gives frames, stalls, tears, hangs, goes away."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from fer_edge.device.sources.camera import Camera, CameraStalled, Shot
from fer_edge.errors import FerEdgeError

FAULTS = ("stall", "damaged", "black", "same", "large", "unplug")


class FakeCamera(Camera):
    """Takes one word of the script at a time, and plain frames when there is none left.

    "frame", "black", "large" and "same" (as the one before) give a frame; "damaged" gives one that
    cannot be read; "stall" is a read that times out; "unplug" does the same and lets the next two
    attempts to open fail; "hang" never comes back, until ``release_hang`` is set.
    """

    name = "fake camera"
    remedy = "write another script"
    timeout = 0.05
    fps = 30.0

    def __init__(
        self,
        script: Iterable[str] = (),
        *,
        period: float = 0.001,
        pictures: Sequence[np.ndarray] = (),
    ) -> None:
        """``period`` in seconds is the time from one frame to the next.

        ``pictures``, (H, W) uint8, are shown over and over, else a flat gray of changing tone.
        """
        self.did: Counter[str] = Counter()
        """How often which word was obeyed, and "open", "close", "restart"."""
        self.held = 0
        """Frames handed out and not given back."""
        self.release_hang = threading.Event()
        self._script: Iterator[str] = iter(script)
        self._period = period
        self._lock = threading.Lock()
        self._descriptors: tuple[int, ...] = ()
        self._pictures = pictures or [np.full((48, 64), 100 + n, np.uint8) for n in range(100)]
        self._gray = self._pictures[0]
        self._away = 0

    @property
    def frames(self) -> int:
        """Frames it took, damaged ones included."""
        return sum(self.did[word] for word in ("frame", "black", "large", "same", "damaged"))

    def open(self) -> None:
        assert not self._descriptors, "opened twice"
        if self._away:
            self._away -= 1
            raise FerEdgeError("no fake camera", "plug it in")
        self.did["open"] += 1
        self._descriptors = os.pipe()

    def close(self) -> None:
        self.did["close"] += 1
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = ()

    def restart(self) -> None:
        self.did["restart"] += 1
        if not self._descriptors:
            self.open()

    def read(self) -> Shot | None:
        word = next(self._script, "frame") if self._descriptors else "stall"
        self.did[word] += 1
        if word in ("stall", "unplug"):
            self._away = 2 * (word == "unplug")
            raise CameraStalled("gave no frame")
        if word == "hang":
            self.release_hang.wait()
            raise CameraStalled("gave no frame")
        time.sleep(self._period)
        return None if word == "damaged" else self._shot(word)

    def _shot(self, word: str) -> Shot:
        if word != "same":
            self._gray = self._pictures[self.frames % len(self._pictures)]
        if word == "black":
            self._gray = np.zeros_like(self._gray)
        if word == "large":
            self._gray = self._gray.repeat(2, axis=0).repeat(2, axis=1)
        with self._lock:
            self.held += 1
        return Shot(self._gray, time.perf_counter(), 0.1, self._take_back)

    def _take_back(self) -> None:
        with self._lock:
            self.held -= 1


def random_faults(seed: int, length: int, share: float = 0.02) -> Iterator[str]:
    """A script of frames, of which about ``share`` are faults of every kind."""
    rng = np.random.default_rng(seed)
    for draw, fault in zip(rng.random(length), rng.integers(0, len(FAULTS), length), strict=True):
        yield FAULTS[fault] if draw < share else "frame"
