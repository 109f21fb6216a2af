"""What every source of frames has in common: the frame, the counts, how it is opened and read."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

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
    """Work it took to get it: decoding, conversion, mapping; waiting for a camera is not work."""
    sensor_ns: int | None = None
    """When the sensor exposed its first row, nanoseconds of CLOCK_BOOTTIME, where known."""
    colour: Pixels | None = None
    """The same picture in colour, (H, W, 3) uint8, blue first; only when asked for."""
    name: str | None = None
    """File name of a picture out of a folder."""


@dataclass(frozen=True)
class SourceCounts:
    """What became of the frames that were not handed out."""

    unreadable: int = 0
    """Damaged frames, or files that are no pictures."""
    dropped: int | None = 0
    """Frames that the camera took while nobody asked; None where the camera does not tell."""
    notes: tuple[str, ...] = ()
    """Remarks for the user, one line each, such as the name of a broken picture."""


class Source(Protocol):
    """A context manager; ``frames`` may be iterated once, inside the ``with``.

    Entering raises FerEdgeError when there is nothing to read, ``frames`` when it stops coming.
    """

    name: str
    """What a message calls it: a path, a device, a camera's model."""
    live: bool
    """Whether frames come in real time, so that waiting for them is not our doing."""
    fps: float | None
    """Frames a second, where the source says so; for the annotated video."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def frames(self) -> Generator[Frame]: ...

    @property
    def counts(self) -> SourceCounts: ...
