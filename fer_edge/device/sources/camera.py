"""What a camera has to be able to do; ``LiveSource`` makes a source of frames out of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from fer_edge.face import Pixels


class CameraStalled(Exception):
    """A camera that was open gives no frame: nothing came in time, or its connection ended.

    Args:
        what: the predicate of a message whose subject is the camera, such as "gave no frame".
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


@dataclass(frozen=True)
class Shot:
    """One frame in a camera's memory, to be given back by ``release``, once, from any thread."""

    gray: Pixels
    """Gray plane (H, W) uint8; its memory is the camera's until ``release``."""
    ready: float
    """When the gray plane was ready, seconds of ``time.perf_counter``."""
    work_ms: float
    """Decoding, conversion and mapping."""
    release: Callable[[], None]
    missed: int = 0
    """Frames that the camera took and lost since the one before."""
    sensor_ns: int | None = None
    """When the sensor exposed its first row, nanoseconds of CLOCK_BOOTTIME, where known."""
    colour: Pixels | None = None
    """(H, W, 3) uint8, blue first, in memory of its own; only when asked for."""


class Camera(ABC):
    """A device or an address that gives frames in real time; only one thread calls it.

    ``open`` may follow ``close``, any number of times.
    """

    name: str
    """What a message calls it."""
    remedy: str
    """What to do when it gives no frames any more, one line."""
    timeout: float
    """Seconds that ``read`` waits for a frame."""
    fps: float | None = None
    """Frames a second, where it says so; known once it is open."""

    @abstractmethod
    def open(self) -> None:
        """Start capturing; raises FerEdgeError: not there, busy, or no camera."""

    @abstractmethod
    def read(self) -> Shot | None:
        """Wait for a frame and return it, or None when it is damaged; raises CameraStalled."""

    @abstractmethod
    def close(self) -> None:
        """Stop, and give the device back; nothing happens when it is not open."""

    def restart(self) -> None:
        """Start capturing anew, the gentlest way there is; raises FerEdgeError."""
        self.close()
        self.open()
