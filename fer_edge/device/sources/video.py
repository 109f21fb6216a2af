"""Frames of a video file, every one of them accounted for."""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from fer_edge.chatter import silenced_stderr
from fer_edge.device.sources.base import Frame, Source, SourceCounts
from fer_edge.errors import FerEdgeError
from fer_edge.opencv import load_opencv, opencv_path

_GAP = 64
"""Damaged frames in a row after which the rest of the file is given up."""

_TAIL_S = 0.25
"""Seconds that a whole file may be longer than its pictures, as its sound may end after them."""

_EVEN = 0.95
"""Share of the frames that have to follow at the header's rate for a longer wait to be a loss."""

_USUAL_FPS = 25.0
"""Of a file that says neither how many frames a second it has nor when each was taken."""


class VideoFile(Source):
    """A video file read frame by frame, as fast as it is asked for.

    Decoding goes through FFmpeg to colour and from there to gray. FFmpeg's luma plane alone would
    save about 0.2 of 0.7 ms at 596×336, but it comes in limited range (16–235), a contrast that
    the models were not trained on.
    """

    def __init__(self, path: Path, *, colour: bool = False) -> None:
        """``colour`` keeps the colour picture in each frame, for drawing."""
        self.path = path
        self.name = str(path)
        self._colour = colour
        self._expected = 0
        self._length = 0.0
        self._clock = _Clock(None)
        self._handed_out = 0
        self._damaged = 0
        self._finished = False
        self._capture: Any = None

    def open(self) -> None:
        """Open the file; raises FerEdgeError when it is no video."""
        cv2 = load_opencv()
        if self.path.is_dir():
            raise FerEdgeError(
                f"{self.path} is a folder, not a video", f"name its pictures: --images {self.path}"
            )
        if not self.path.exists():
            raise FerEdgeError(f"no such video: {self.path}", "check the path")
        with silenced_stderr():
            self._capture = cv2.VideoCapture(opencv_path(self.path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise FerEdgeError(
                f"{self.path} is not a video that can be read: unknown format or damaged",
                "try to play it, or convert it: ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4",
            )
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        # where frames come unevenly, OpenCV may give the ticks of the file's clock as their rate
        self.fps = fps if 0 < fps < 1000 else None
        self._clock = _Clock(self.fps)
        # an impossible count means that the container does not say; many say how long they are
        # instead, and OpenCV makes a count of that and the rate
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self._expected = int(count) if 0 < count < 1e9 else 0
        self._length = self._expected / fps if fps > 0 else 0.0

    def close(self) -> None:
        """Close the file."""
        self._capture.release()

    @property
    def counts(self) -> SourceCounts:
        """Damaged frames, and those that the file's header promised but that never came."""
        unreadable = self._damaged + (self._missing() if self._finished else 0)
        notes = (f"{self.name}: {unreadable} damaged or missing frames",) if unreadable else ()
        return SourceCounts(unreadable=unreadable, notes=notes)

    def frames(self) -> Generator[Frame]:
        """Yield every frame; a damaged one is counted and leaves a gap in the numbers."""
        cv2 = load_opencv()
        failed = 0
        while True:
            started = time.perf_counter()
            readable, picture = self._capture.read()
            if not readable:
                # one damaged frame looks like the end; only what follows tells them apart
                failed += 1
                if failed > _GAP:
                    break
                continue
            stamp = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3
            seconds = self._clock.add(stamp, skipped=failed)
            self._damaged += failed
            failed = 0
            gray = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
            ready = time.perf_counter()
            index = self._position
            self._handed_out += 1
            yield Frame(
                index=index,
                gray=gray,
                captured=ready,
                capture_ms=(ready - started) * 1e3,
                seconds=seconds,
                colour=picture if self._colour else None,
            )
        self._finished = True
        if self._handed_out == 0:
            raise FerEdgeError(f"{self.path} holds no frame that can be read", "try to play it")

    @property
    def _position(self) -> int:
        return self._handed_out + self._damaged

    def _missing(self) -> int:
        """About how many frames the header promised that never came, not even damaged."""
        clock = self._clock
        usual = longest = clock.usual
        if not clock.even:
            usual = clock.seconds / max(1, self._position - 1) or clock.usual
            longest = clock.longest
        lacking = self._length - clock.seconds
        behind = round(lacking / usual) - 1 if lacking > max(_TAIL_S, 2 * longest) else 0
        between = clock.left_out if clock.even else 0
        # the count alone says nothing where it was made of a length and a rate
        return max(0, min(self._expected - self._position, between + behind))


class _Clock:
    """When each frame was taken, out of the file's time stamps.

    Args:
        fps: frames a second, as the header says; None where it does not.
    """

    def __init__(self, fps: float | None) -> None:
        self.usual = 1 / (fps or _USUAL_FPS)
        """Seconds from one frame to the next where nothing else tells."""
        self.seconds = 0.0
        """From the first frame to the newest."""
        self.longest = 0.0
        """Seconds from one frame to the next at most, damage aside."""
        self.left_out = 0
        """Frames for which there was time between two others."""
        self._known = fps is not None
        self._stamp: float | None = None
        self._steps = self._usual_steps = 0

    @property
    def even(self) -> bool:
        """Whether the frames come as the header says, apart from some that are missing."""
        return self._known and self._usual_steps >= _EVEN * self._steps

    def add(self, stamp: float, *, skipped: int) -> float:
        """Take in a frame's stamp, in seconds, and how many damaged ones came before it.

        Returns:
            Seconds from the first frame.
        """
        if self._stamp is not None:
            since = stamp - self._stamp
            # a file may have no stamps, and those of one that was joined begin anew
            if not since > 0:
                since = self.usual * (1 + skipped)
            self.seconds += since
            self._count(since, skipped)
        self._stamp = stamp
        return self.seconds

    def _count(self, since: float, skipped: int) -> None:
        steps = round(since / self.usual)
        self._steps += 1
        self._usual_steps += steps == 1 + skipped
        self.left_out += max(0, steps - 1 - skipped)
        if not skipped:
            self.longest = max(self.longest, since)
