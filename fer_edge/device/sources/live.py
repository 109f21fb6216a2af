"""A camera as a source of frames: a thread reads every one, and only the newest is kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from typing import NoReturn

from fer_edge.device.sources.base import Frame, Source, SourceCounts
from fer_edge.device.sources.camera import Camera, Shot
from fer_edge.device.sources.supervised import Recovery, SupervisedCamera
from fer_edge.errors import FerEdgeError

THREAD = "camera:"
"""How the name of a camera's thread begins; it outlives its source only when a driver hangs."""

_SLICE = 0.1  # seconds between two looks at whether somebody wants the run to end
_FAREWELL = 10.0  # seconds that a camera is given to close


class LiveSource(Source):
    """Frames of one camera, as they happen.

    A thread owns the camera and reads all the time, so that no buffer on the way fills up with old
    frames. A frame that is replaced by a newer one before it was asked for counts as dropped.
    Whatever a driver does to that thread, the run itself stays able to end.
    """

    live = True

    def __init__(
        self,
        camera: Camera,
        *,
        recovery: Recovery | None = None,
        report: Callable[[str], None] = lambda text: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Args:
        camera: not open yet.
        recovery: how hard a stalled camera is tried; None takes the default.
        report: is told of every fault as it happens, in one line, by the camera's thread.
        stopped: whether somebody wants the run to end; asked while there is no frame.
        """
        self.name = camera.name
        self._stopped = stopped
        self._recovery = recovery or Recovery()
        self._ending = threading.Event()
        self._camera = SupervisedCamera(camera, self._recovery, report, self._ending)
        self._device = camera
        self._thread = threading.Thread(target=self._run, name=THREAD + camera.name, daemon=True)
        self._changed = threading.Condition()
        # what the two threads share, under the condition's lock
        self._opened = False
        self._newest: tuple[int, Shot] | None = None
        self._error: FerEdgeError | None = None
        self._failed = False
        self._taken = 0
        self._dropped = 0

    def open(self) -> None:
        """Open the camera; returns early, with no frames to come, when the run is to end.

        Raises:
            FerEdgeError: no camera, or it is busy, or it does not answer.
        """
        self._thread.start()
        try:
            self._wait_until(lambda: self._opened)
        except BaseException:
            self.close()
            raise
        self.fps = self._device.fps

    def frames(self) -> Generator[Frame]:
        """Yield the newest frame, again and again, until the run is to end.

        Raises:
            FerEdgeError: the camera gives no frames any more, or its driver hangs.
        """
        while self._wait_until(lambda: self._newest is not None):
            index, shot = self._take()
            try:
                waited_ms = (time.perf_counter() - shot.ready) * 1e3
                yield Frame(
                    index=index,
                    gray=shot.gray,
                    captured=shot.ready,
                    capture_ms=shot.work_ms + waited_ms,
                    sensor_ns=shot.sensor_ns,
                    colour=shot.colour,
                )
            finally:
                shot.release()

    def close(self) -> None:
        """Give the camera back; one whose driver hangs is left to the end of the process."""
        self._ending.set()
        self._thread.join(min(_FAREWELL, self._recovery.hung))
        with self._changed:
            kept, self._newest = self._newest, None
            self._dropped = self._camera.captured - self._camera.unreadable - self._taken
        if kept is not None:
            kept[1].release()

    @property
    def counts(self) -> SourceCounts:
        """Frames not handed out, and faults."""
        camera = self._camera
        faults = dict(camera.faults)
        notes = tuple(f"{self.name}: {kind} {count}×" for kind, count in faults.items())
        return SourceCounts(camera.unreadable, self._dropped, faults, notes)

    @property
    def recovering(self) -> bool:
        """Whether the camera is being got going."""
        return self._camera.recovering

    def _wait_until(self, arrived: Callable[[], bool]) -> bool:
        """Wait for the camera's thread; False when the run is to end."""
        with self._changed:
            while not arrived():
                if self._failed:
                    return False
                if self._error is not None:
                    self._fail()
                if self._stopped():
                    return False
                if self._hangs():
                    raise FerEdgeError(
                        f"{self.name} hangs: a call into its driver has not come back for "
                        f"{self._recovery.hung:g} s",
                        f"{self._device.remedy}, or restart the machine",
                    )
                self._changed.wait(_SLICE)
        return True

    def _fail(self) -> NoReturn:
        """Raise the thread's error, once, and keep nothing of what it leads to: everything."""
        error, self._error, self._failed = self._error, None, True
        assert error is not None
        try:
            raise error
        finally:
            del error

    def _hangs(self) -> bool:
        since = self._camera.calling_since
        return since is not None and time.monotonic() - since > self._recovery.hung

    def _take(self) -> tuple[int, Shot]:
        with self._changed:
            assert self._newest is not None
            taken, self._newest = self._newest, None
            self._taken += 1
        return taken

    def _run(self) -> None:
        """The camera's thread."""
        error: FerEdgeError | None = None
        try:
            self._camera.open()
            with self._changed:
                self._opened = True
                self._changed.notify()
            while not self._ending.is_set():
                if (shot := self._camera.read()) is not None:
                    self._offer(shot)
        except FerEdgeError as found:  # the run's thread raises it
            error = found
        # of a driver; it ends the run, which is then summed up. Whatever it is: a thread that ended
        # without a word would be waited for
        except BaseException as found:
            error = FerEdgeError(
                f"{self.name} failed: {type(found).__name__}: {found}", self._device.remedy
            )
            error.__cause__ = found
        try:
            self._camera.close()
        finally:
            with self._changed:
                self._error = error
                self._changed.notify()
            # its traceback leads here
            del error

    def _offer(self, shot: Shot) -> None:
        """Put a frame where the next one is taken from; one that still lies there is dropped."""
        with self._changed:
            old, self._newest = self._newest, (self._camera.captured - 1, shot)
            # the one that waits may still be taken
            self._dropped = self._camera.captured - self._camera.unreadable - self._taken - 1
            self._changed.notify()
        if old is not None:
            old[1].release()
