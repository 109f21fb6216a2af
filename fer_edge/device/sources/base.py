"""What every source of frames has in common: the frame, the counts, how it is opened and read."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field

from fer_edge.device.opened import Opened
from fer_edge.face import Pixels


@dataclass(frozen=True)
class Frame:
    """One picture, at the moment when its gray plane is in our hands."""

    index: int
    """Number of the frame in its source, from 0; unreadable and dropped frames count too."""
    gray: Pixels
    """Gray plane (H, W) uint8; valid only until the next frame is asked for."""
    captured: float
    """When the gray plane was ready, seconds of ``time.perf_counter``."""
    capture_ms: float
    """Decoding, conversion or mapping, and how long a camera's frame then lay waiting for us;
    waiting for the camera is not counted."""
    seconds: float | None = None
    """When it was taken, seconds from its recording's first frame; None of what is no recording."""
    sensor_ns: int | None = None
    """When the sensor exposed its first row, nanoseconds of CLOCK_BOOTTIME, where known."""
    colour: Pixels | None = None
    """The same picture in colour, (H, W, 3) uint8, blue first; only when asked for."""
    name: str | None = None
    """File name of a picture out of a folder."""


FAULTS = ("stalled", "frozen", "black", "resized")
"""What can be wrong with a camera that is open."""


@dataclass(frozen=True)
class SourceCounts:
    """What became of the frames that were not handed out, and what went wrong."""

    unreadable: int = 0
    """Damaged frames, or files that are no pictures."""
    dropped: int = 0
    """Frames that a camera took while nobody asked."""
    faults: Mapping[str, int] = field(default_factory=dict)
    """How often a camera had each of ``FAULTS``; only what happened."""
    notes: tuple[str, ...] = ()
    """Remarks for the user, one line each, such as the name of a broken picture."""


class Source(Opened):
    """A context manager; ``frames`` may be iterated once, inside the ``with``."""

    name: str
    """What a message calls it: a path, a device, an address without its password."""
    live = False
    """Whether frames come in real time, so that waiting for them is not our doing."""
    fps: float | None = None
    """Frames a second, where the source says so; for the annotated video. Those of a recording may
    come unevenly: each frame has its own time."""

    @abstractmethod
    def frames(self) -> Generator[Frame]:
        """Yield frame after frame; raises FerEdgeError when a camera stops for good."""

    @property
    def recovering(self) -> bool:
        """Whether a camera gives no frames and is being got going, which ends by itself."""
        return False

    @property
    @abstractmethod
    def counts(self) -> SourceCounts:
        """The counts so far."""
