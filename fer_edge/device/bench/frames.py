"""The frames that the pipeline is measured on: few, gray, in memory."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal

from fer_edge.device.sources import Frame, open_source
from fer_edge.face import Pixels
from fer_edge.files import sha256
from fer_edge.opencv import load_opencv

MOST_FRAMES = 250
MOST_BYTES = 64 << 20
"""Of gray pixels; a Zero 2 W has 512 MiB in all."""
DRAWN_FRAMES = 25
DRAWN_SIZE = (320, 240)
"""Drawing takes long on a small board; the frames are enlarged to what a camera gives."""
CAMERA_SIZE = (640, 480)
DRAWN_FPS = 25.0


Draw = Callable[[int, tuple[int, int]], Iterable[Pixels]]
"""Gives so many pictures of a width and height: (height, width, 3) uint8, blue first."""


@dataclass(frozen=True)
class Frames:
    """The first frames of a recording, or pictures that do not follow each other."""

    kind: Literal["video", "images", "drawn"]
    name: str | None
    """Where they came from; None of the package's own drawn clip."""
    gray: tuple[Pixels, ...]
    fps: float | None
    """Of a recording; None of pictures."""
    sha256: str | None = None
    """Of a video's file, as machines may decode it to slightly different grays; of the pictures'
    grays; None of the drawn clip."""

    def endless(self) -> Iterator[Frame]:
        """A recording forth and back, so that there is no cut in it; pictures round and round."""
        last = len(self.gray) - 1
        for index in count():
            if self.fps is None or last == 0:
                place = index % (last + 1)
            else:
                place = last - abs(last - index % (2 * last))
            seconds = None if self.fps is None else index / self.fps
            yield Frame(
                index, self.gray[place], time.perf_counter(), capture_ms=0.0, seconds=seconds
            )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        height, width = self.gray[0].shape
        return {
            "source": self.kind,
            "synthetic": self.kind == "drawn",
            "name": self.name,
            "sha256": self.sha256,
            "frames": len(self.gray),
            "width": width,
            "height": height,
            "mib": round(sum(gray.nbytes for gray in self.gray) / 2**20, 1),
        }


def read_frames(
    video: Path | None,
    images: Path | None,
    draw: Draw,
) -> Frames:
    """Read the frames of what was named, or draw some.

    Args:
        video: a video file.
        images: a folder of pictures.
        draw: called when neither was named.

    Raises:
        FerEdgeError: both were named, or there is no frame to read.
    """
    if video is None and images is None:
        cv2 = load_opencv()
        pictures = draw(DRAWN_FRAMES, DRAWN_SIZE)
        drawn = (cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) for picture in pictures)
        gray = tuple(cv2.resize(small, CAMERA_SIZE) for small in drawn)
        return Frames("drawn", None, gray, DRAWN_FPS)
    with open_source(video=video, images=images) as source:
        gray = tuple(_first(source.frames()))
        if images is not None:
            return Frames("images", source.name, gray, None, _digest(gray))
    assert video is not None
    return Frames("video", source.name, gray, source.fps or DRAWN_FPS, sha256(video))


def _digest(gray: Iterable[Pixels]) -> str:
    digest = hashlib.sha256()
    for each in gray:
        digest.update(f"{each.shape}".encode())
        digest.update(each.tobytes())
    return digest.hexdigest()


def _first(frames: Iterable[Frame]) -> Iterator[Pixels]:
    taken = 0
    for number, frame in enumerate(frames, 1):
        taken += frame.gray.nbytes
        yield frame.gray.copy()
        if number == MOST_FRAMES or taken + frame.gray.nbytes > MOST_BYTES:
            break
