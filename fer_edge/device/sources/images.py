"""Pictures as frames: one of them, those of an archive, or those of a folder and its subfolders."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from fer_edge.archives import Entry, open_source
from fer_edge.chatter import silenced_if_alone
from fer_edge.device.sources.base import Frame, Source, SourceCounts
from fer_edge.errors import FerEdgeError
from fer_edge.face import Pixels
from fer_edge.files import PICTURES, is_picture
from fer_edge.opencv import load_opencv
from fer_edge.printable import printable

SUFFIXES = frozenset(PICTURES)

_LARGEST = 256 << 20
"""Bytes of a picture's file, beyond which it is not read."""


class Pictures(Source):
    """Every picture that a path leads to; one that cannot be read is reported and counted.

    Their names are paths inside of what was named. A folder's come in the order of their names, its
    own before those of its subfolders; an archive's in its own order.
    """

    def __init__(self, path: Path, *, colour: bool = False) -> None:
        """``colour`` keeps the colour picture in each frame, for drawing."""
        self.path = path
        self.name = str(path)
        self._colour = colour
        self._opened = ExitStack()
        self._entries: list[Entry] = []
        self._broken: list[str] = []

    def open(self) -> None:
        """List the pictures; raises FerEdgeError when there is none."""
        load_opencv()
        with ExitStack() as opening:
            entries = opening.enter_context(open_source(self.path, complete=lambda name: False))
            if self.path.is_file() and [each.name for each in entries] == [self.path.name]:
                self._entries = list(entries)  # its content tells whether it is a picture
            else:
                self._entries = [each for each in entries if is_picture(each.name)]
            if not self._entries:
                raise FerEdgeError(
                    f"no pictures in {self.path}",
                    f"expected files that end in {', '.join(sorted(SUFFIXES))}",
                )
            self._opened = opening.pop_all()

    def close(self) -> None:
        """Close the archive, where it is one."""
        self._opened.close()

    @property
    def counts(self) -> SourceCounts:
        """How many files were no pictures; their names are in the notes."""
        notes = tuple(f"{name}: not a picture that can be read" for name in self._broken)
        return SourceCounts(unreadable=len(self._broken), notes=notes)

    def frames(self) -> Generator[Frame]:
        """Yield each readable picture; a broken one leaves a gap in the numbers."""
        cv2 = load_opencv()
        for index, entry in enumerate(self._entries):
            started = time.perf_counter()
            picture = decode_picture(_content(entry))
            if picture is None:
                self._broken.append(printable(entry.name))
                continue
            gray = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
            ready = time.perf_counter()
            yield Frame(
                index=index,
                gray=gray,
                captured=ready,
                capture_ms=(ready - started) * 1e3,
                colour=picture if self._colour else None,
                name=printable(entry.name),
            )
        if len(self._broken) == len(self._entries):
            raise self._nothing_readable()

    def _nothing_readable(self) -> FerEdgeError:
        if self._entries[0].name == self.path.name:
            return FerEdgeError(
                f"{self.path} is not a picture that can be read",
                "try to open it in a viewer; a video is named with --video",
            )
        return FerEdgeError(
            f"none of the {len(self._entries)} files in {self.path} is a picture that can be "
            f"read, the first is {self._broken[0]}",
            "try to open one of them in a viewer",
        )


def decode_picture(data: bytes) -> Pixels | None:
    """Decode a picture to (H, W, 3) uint8, blue first; None when it is broken or cut off."""
    cv2 = load_opencv()
    # OpenCV fills up the missing part of a JPEG with gray and says nothing
    if not data or (data.startswith(b"\xff\xd8") and not _jpeg_has_an_end(data)):
        return None
    with silenced_if_alone():  # libjpeg and libpng print their complaints themselves
        try:
            picture: Pixels | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:
            return None
    return picture


def _content(entry: Entry) -> bytes:
    """A file's bytes; none where it cannot be read or is too large."""
    try:
        with entry.open() as stream:
            data = stream.read(_LARGEST + 1)
    except FerEdgeError:
        return b""
    return data if len(data) <= _LARGEST else b""


def _jpeg_has_an_end(data: bytes) -> bool:
    """Look for the end marker behind the header's segments, which may hold a whole thumbnail."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        fills = data[at + 1] == 0xFF  # as many as one likes may stand before a marker
        at += 1 if fills else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return data.find(b"\xff\xd9", at) >= 0
