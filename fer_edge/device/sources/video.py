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
        self.fps = fps if 0 < fps < 1000 else None
        # an impossible count means that the container does not say
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self._expected = int(count) if 0 < count < 1e9 else 0

    def close(self) -> None:
        """Close the file."""
        self._capture.release()

    @property
    def counts(self) -> SourceCounts:
        """Damaged frames, and those that the file's header promised but that never came."""
        missing = self._expected - self._handed_out - self._damaged
        # some containers only estimate their length, and are off by one
        cut_off = missing if self._finished and missing > 1 else 0
        unreadable = self._damaged + cut_off
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
                if self._position + failed > self._expected or failed > _GAP:
                    break
                continue
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
                colour=picture if self._colour else None,
            )
        self._finished = True
        if self._handed_out == 0:
            raise FerEdgeError(f"{self.path} holds no frame that can be read", "try to play it")

    @property
    def _position(self) -> int:
        return self._handed_out + self._damaged
