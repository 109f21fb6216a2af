"""What USB and network cameras have in common: OpenCV's ``VideoCapture``."""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import Any

from fer_edge.device.sources.camera import Camera, CameraStalled, Shot
from fer_edge.errors import FerEdgeError
from fer_edge.opencv import load_opencv


class CaptureCamera(Camera):
    """A camera behind ``cv2.VideoCapture``; a subclass says how it is opened."""

    def __init__(self, name: str, *, colour: bool, timeout: float) -> None:
        """``timeout`` in seconds for one frame; ``colour`` keeps the colour picture."""
        self.name = name
        self.timeout = timeout
        self._colour = colour
        self._capture: Any = None

    def open(self) -> None:
        """Open it and read its frame rate; raises FerEdgeError."""
        capture = self._connect()
        if not capture.isOpened():
            capture.release()
            raise self._why_not()
        self._capture = capture
        fps = capture.get(load_opencv().CAP_PROP_FPS)
        self.fps = fps if 0 < fps < 1000 else None

    def read(self) -> Shot | None:
        """Wait for a frame, decode it, convert it to gray; None when it cannot be decoded."""
        cv2 = load_opencv()
        waiting, worked = time.monotonic(), time.thread_time()
        if not self._capture.grab():
            waited = time.monotonic() - waiting
            raise CameraStalled(
                f"gave no frame for {waited:.1f} s"
                if waited > self.timeout / 2
                else "gives no more frames"
            )
        started = time.perf_counter()
        # FFmpeg decodes in there, as far as it does not in threads of its own
        grab_s = time.thread_time() - worked
        readable, picture = self._capture.retrieve()
        if not readable:
            return None
        gray = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        ready = time.perf_counter()
        return Shot(
            gray=gray,
            ready=ready,
            work_ms=(grab_s + ready - started) * 1e3,
            release=_nothing,
            sensor_ns=self._sensor_ns(),
            colour=picture if self._colour else None,
        )

    def close(self) -> None:
        """Let go of it."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    @abstractmethod
    def _connect(self) -> Any:
        """A new ``cv2.VideoCapture``, open or not."""

    @abstractmethod
    def _why_not(self) -> FerEdgeError:
        """Why it did not open."""

    def _sensor_ns(self) -> int | None:
        """When the frame that was just read was exposed, nanoseconds of CLOCK_BOOTTIME."""
        return None


def _nothing() -> None:
    """OpenCV's pictures are in memory of their own."""
