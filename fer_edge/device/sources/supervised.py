"""A camera under supervision: its pictures are looked at, and when it stalls it is got going."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from fer_edge.device.sources.camera import Camera, CameraStalled, Shot
from fer_edge.device.sources.watch import PictureWatch
from fer_edge.errors import FerEdgeError

_T = TypeVar("_T")


@dataclass(frozen=True)
class Recovery:
    """How hard a camera is tried that gives no frames any more; all in seconds.

    It is read once more, then restarted, then closed and opened anew after ever longer pauses.
    """

    pauses: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0)
    """Wait before each reopening; when the last one does not help, the run ends."""
    settled: float = 5.0
    """Frames for so long end the trouble; new trouble before that goes on where it left off."""
    frozen: float = 10.0
    """The same picture for so long is a fault."""
    hung: float = 30.0
    """A call into the driver that takes so long is taken not to come back."""


class SupervisedCamera:
    """Opens and reads a camera, counts its frames and faults, gets it going when it stalls.

    Used by one thread. A fault is reported once, when it begins; a stall also when it ends.
    """

    def __init__(
        self,
        camera: Camera,
        recovery: Recovery,
        report: Callable[[str], None],
        ending: threading.Event,
    ) -> None:
        """Args:
        camera: not open yet.
        recovery: how hard to try.
        report: takes a message of one line.
        ending: set, by another thread, when nobody wants frames any more.
        """
        self.captured = 0
        """Frames the camera took, whatever became of them."""
        self.unreadable = 0
        """Those of them that were damaged."""
        self.faults: Counter[str] = Counter()
        self.calling_since: float | None = None
        """Since when one call into the camera lasts, by ``time.monotonic``."""
        self.recovering = False
        """Whether steps are being taken to get it going."""
        self._camera = camera
        self._recovery = recovery
        self._report = report
        self._ending = ending
        self._watch = PictureWatch(recovery.frozen)
        self._steps: tuple[Callable[[], None], ...] = (
            lambda: None,
            partial(self._call, camera.restart),
            *(partial(self._reopen, pause) for pause in recovery.pauses),
        )
        self._next_step = 0
        self._good = self._recovered = time.monotonic()

    def open(self) -> None:
        """Open the camera; raises FerEdgeError at the first failure."""
        self._call(self._camera.open)
        self._good = time.monotonic()

    def close(self) -> None:
        """Give the camera back."""
        self._call(self._camera.close)

    def read(self) -> Shot | None:
        """Return the next frame; None for a damaged one, and when the run ends meanwhile.

        Raises:
            FerEdgeError: the camera stalled, and nothing helped.
        """
        try:
            shot = self._read()
        except CameraStalled as stall:
            shot = self._recover("stalled", stall.what)
        if shot is None or (fault := self._watch.look(shot.gray, self._good)) is None:
            return shot
        kind, what = fault
        if kind == "frozen":
            shot.release()
            return self._recover(kind, what, first=1)  # reading on is no help
        self._note(kind, what)
        return shot

    def _call(self, action: Callable[[], _T]) -> _T:
        self.calling_since = time.monotonic()
        try:
            return action()
        finally:
            self.calling_since = None

    def _read(self) -> Shot | None:
        shot = self._call(self._camera.read)
        now = time.monotonic()
        self.captured += 1 if shot is None else 1 + shot.missed
        if shot is not None:
            self._good = now
            return shot
        self.unreadable += 1
        if now - self._good > self._camera.timeout:
            raise CameraStalled(f"gave only damaged frames for {self._camera.timeout:g} s")
        return None

    def _note(self, kind: str, what: str) -> None:
        self.faults[kind] += 1
        self._report(f"{self._camera.name} {what}")

    def _recover(self, kind: str, what: str, first: int = 0) -> Shot | None:
        """Take step after step, from the gentlest, until there is a frame."""
        if self._ending.is_set():
            return None
        began = time.monotonic()
        settled = began - self._recovered > self._recovery.settled
        first = first if settled else max(first, self._next_step)
        self._note(kind, f"{what}; trying to get it going")
        self.recovering = True
        try:
            return self._take_steps(kind, what, first, began)
        finally:
            self.recovering = False

    def _take_steps(self, kind: str, what: str, first: int, began: float) -> Shot | None:
        for number, step in enumerate(self._steps[first:], first + 1):
            self._next_step = number
            try:
                step()
                shot = self._read_a_good_one()
            except CameraStalled as stall:
                what = stall.what
            except FerEdgeError as error:
                what = f"cannot be started again ({error.message})"
            else:
                now = self._recovered = time.monotonic()
                if shot is not None and kind == "stalled":
                    self._report(f"{self._camera.name} is back after {now - began:.1f} s")
                return shot
            if self._ending.is_set():
                return None
        raise FerEdgeError(
            f"{self._camera.name} {what}; nothing helped for {time.monotonic() - began:.0f} s",
            self._camera.remedy,
        )

    def _reopen(self, pause: float) -> None:
        self._call(self._camera.close)
        if not self._ending.wait(pause):
            self._call(self._camera.open)

    def _read_a_good_one(self) -> Shot | None:
        """Read on over damaged frames, for as long as one frame may take."""
        self._good = time.monotonic()
        while not self._ending.is_set():
            if (shot := self._read()) is not None:
                return shot
        return None
