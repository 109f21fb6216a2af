"""The frames with their faces drawn in, as a video file."""

from __future__ import annotations

import shutil
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from fer_edge.chatter import silenced_stderr
from fer_edge.device.outputs.base import Output
from fer_edge.device.outputs.drawing import annotated
from fer_edge.device.pipeline import Result
from fer_edge.errors import FerEdgeError
from fer_edge.face import Pixels
from fer_edge.files import atomic_path
from fer_edge.opencv import load_opencv, opencv_path

CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".mkv": "mp4v"}
"""What the wheel's FFmpeg can write, by suffix."""

STILL_S = 5.0
"""Seconds that a video of a camera stands still at most, however long there was no frame."""

_CHECK_EVERY = 50  # frames between two looks at the free space
_SHARE = 0.5  # of a camera's time, that repeating its pictures may take


class AnnotatedVideo(Output):
    """Writes under a temporary name; the file appears, whole, when the run ends or is stopped.

    A recording's frames are all written. Those of a camera come when they come, less often than it
    says or more often: each takes its place in time, and the last one is repeated up to there.
    """

    def __init__(self, path: Path, fps: float | None, *, live: bool = False) -> None:
        """``fps`` is the source's, 25 where that is unknown; ``live`` whether that is a camera.

        Raises:
            FerEdgeError: the suffix names no format that can be written, or the name is not UTF-8.
        """
        if path.suffix.lower() not in CODECS:
            raise FerEdgeError(
                f"cannot tell the video format of {path}",
                f"end its name in {', '.join(CODECS)}",
            )
        opencv_path(path)
        self.path = path
        self._fps = fps or 25.0
        self._live = live
        self._files = ExitStack()
        self._temporary: Path | None = None
        self._writer: Any = None
        self._size = (0, 0)
        self._written = 0
        self._last: Pixels | None = None
        self._began = self._captured = 0.0

    def open(self) -> None:
        self._temporary = self._files.enter_context(atomic_path(self.path))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        # what an exception leaves must not take the file's name
        self._files.__exit__(kind, error, trace)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()

    def write(self, result: Result) -> None:
        """Add one frame; one of another size than the first is fitted into the first's."""
        picture = annotated(result)
        if self._writer is None:
            self._start(picture)
        picture = _fitted(picture, self._size)
        if not self._live or self._has_place(result.frame.captured):
            self._put(picture)
        self._last, self._captured = picture, result.frame.captured

    def finish(self, summary: dict[str, Any]) -> None:
        """Close the file and read it back: OpenCV does not report a failed write.

        Raises:
            FerEdgeError: it is not whole; then it does not appear.
        """
        try:
            self._finish()
        except FerEdgeError as error:
            with suppress(FerEdgeError):  # the same again
                self._files.__exit__(type(error), error, error.__traceback__)
            raise

    def _has_place(self, captured: float) -> bool:
        """Repeat the last picture up to a frame's place in time; False if that is taken already."""
        if self._last is None:
            self._began = captured
            return True
        place = round((captured - self._began) * self._fps)
        most = min(place, self._written + round(STILL_S * self._fps))
        # a machine that takes long to write must not fall behind by it more and more
        until = time.perf_counter() + _SHARE * (captured - self._captured)
        while self._written < most and time.perf_counter() < until:
            self._put(self._last)
        if self._written < place:  # what is missing is left out: time goes on from here
            self._began = captured - self._written / self._fps
            return True
        return self._written == place

    def _put(self, picture: Pixels) -> None:
        self._writer.write(picture)
        self._written += 1
        if self._written % _CHECK_EVERY == 0 and shutil.disk_usage(self.path.parent).free == 0:
            raise self._full()

    def _finish(self) -> None:
        if self._writer is None:
            raise FerEdgeError(f"no frame to write to {self.path}", "check the source of frames")
        self._writer.release()
        cv2 = load_opencv()
        with silenced_stderr():
            written = cv2.VideoCapture(str(self._temporary), cv2.CAP_FFMPEG)
        frames = int(written.get(cv2.CAP_PROP_FRAME_COUNT)) if written.isOpened() else 0
        written.release()
        if frames < self._written - 1:  # Matroska's count is an estimate
            raise self._full()

    def _start(self, picture: Pixels) -> None:
        cv2 = load_opencv()
        # codecs work on whole blocks of 2×2 pixels
        self._size = (picture.shape[1] // 2 * 2, picture.shape[0] // 2 * 2)
        codec = cv2.VideoWriter_fourcc(*CODECS[self.path.suffix.lower()])
        self._writer = cv2.VideoWriter(
            str(self._temporary), cv2.CAP_FFMPEG, codec, self._fps, self._size
        )
        if not self._writer.isOpened():
            raise FerEdgeError(
                f"OpenCV cannot write {self.path}", "try another format: a name that ends in .avi"
            )

    def _full(self) -> FerEdgeError:
        free = shutil.disk_usage(self.path.parent).free
        return FerEdgeError(
            f"cannot write {self.path}: "
            + ("no space left on device" if free < 1 << 20 else "the file came out damaged"),
            "free some space or choose another folder",
        )


def _fitted(picture: Pixels, size: tuple[int, int]) -> Pixels:
    """Scale (H, W, 3) to fit (width, height), on black, in its upper left corner."""
    cv2 = load_opencv()
    width, height = size
    if picture.shape[1] // 2 * 2 == width and picture.shape[0] // 2 * 2 == height:
        return np.ascontiguousarray(picture[:height, :width])
    scale = min(width / picture.shape[1], height / picture.shape[0])
    canvas = np.zeros((height, width, 3), np.uint8)
    inner = (max(1, int(picture.shape[1] * scale)), max(1, int(picture.shape[0] * scale)))
    canvas[: inner[1], : inner[0]] = cv2.resize(picture, inner, interpolation=cv2.INTER_AREA)
    return canvas
