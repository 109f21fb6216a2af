"""Pictures of a folder as frames, in the order of their names."""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path

import numpy as np

from fer_edge.chatter import silenced_stderr
from fer_edge.device.opencv import load_opencv
from fer_edge.device.sources.base import Frame, Source, SourceCounts
from fer_edge.errors import FerEdgeError
from fer_edge.face import Pixels

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm"})


class ImageFolder(Source):
    """Every picture directly inside a folder; one that cannot be read is reported and counted."""

    def __init__(self, folder: Path, *, colour: bool = False) -> None:
        """``colour`` keeps the colour picture in each frame, for drawing."""
        self.folder = folder
        self.name = str(folder)
        self._colour = colour
        self._paths: list[Path] = []
        self._broken: list[str] = []

    def open(self) -> None:
        """List the pictures; raises FerEdgeError when there is none."""
        load_opencv()
        if self.folder.is_file():
            raise FerEdgeError(
                f"{self.folder} is a file, not a folder of pictures",
                "name its folder, or use --video for a video",
            )
        if not self.folder.is_dir():
            raise FerEdgeError(f"no such folder: {self.folder}", "check the path")
        self._paths = sorted(
            path for path in self.folder.iterdir() if path.suffix.lower() in SUFFIXES
        )
        if not self._paths:
            raise FerEdgeError(
                f"no pictures in {self.folder}",
                f"expected files that end in {', '.join(sorted(SUFFIXES))}",
            )

    def close(self) -> None:
        """Nothing is open between two pictures."""

    @property
    def counts(self) -> SourceCounts:
        """How many files were no pictures; their names are in the notes."""
        notes = tuple(f"{name}: not a picture that can be read" for name in self._broken)
        return SourceCounts(unreadable=len(self._broken), notes=notes)

    def frames(self) -> Generator[Frame]:
        """Yield each readable picture; a broken one leaves a gap in the numbers."""
        cv2 = load_opencv()
        for index, path in enumerate(self._paths):
            started = time.perf_counter()
            picture = read_picture(path)
            if picture is None:
                self._broken.append(path.name)
                continue
            gray = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
            ready = time.perf_counter()
            yield Frame(
                index=index,
                gray=gray,
                captured=ready,
                capture_ms=(ready - started) * 1e3,
                colour=picture if self._colour else None,
                name=path.name,
            )
        if len(self._broken) == len(self._paths):
            raise FerEdgeError(
                f"none of the {len(self._paths)} files in {self.folder} is a picture that can be "
                f"read, the first is {self._broken[0]}",
                "try to open one of them in a viewer",
            )


def read_picture(path: Path) -> Pixels | None:
    """Decode a picture file to (H, W, 3) uint8, blue first; None when it is broken or cut off."""
    cv2 = load_opencv()
    try:
        data = path.read_bytes()
    except OSError:
        return None
    # OpenCV fills up the missing part of a JPEG with gray and says nothing
    if not data or (data.startswith(b"\xff\xd8") and not _jpeg_has_an_end(data)):
        return None
    with silenced_stderr():  # libjpeg and libpng print their complaints themselves
        try:
            picture: Pixels | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:
            return None
    return picture


def _jpeg_has_an_end(data: bytes) -> bool:
    """Look for the end marker behind the header's segments, which may hold a whole thumbnail."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return data.find(b"\xff\xd9", at) >= 0
