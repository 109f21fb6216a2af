"""Pictures with their faces drawn in, as pictures."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from fer_edge.device.outputs.base import Output
from fer_edge.device.outputs.drawing import annotated
from fer_edge.device.outputs.video import CODECS
from fer_edge.device.pipeline import Result
from fer_edge.device.sources.images import SUFFIXES
from fer_edge.errors import FerEdgeError
from fer_edge.files import NewNames, atomic_path, is_picture
from fer_edge.opencv import load_opencv


class AnnotatedPictures(Output):
    """Writes every picture into a folder, under its own name, or the only one to a file."""

    def __init__(self, target: Path, source: Path) -> None:
        """Check where to write.

        Args:
            target: a folder; a picture where ``source`` is one.
            source: what the pictures come from.

        Raises:
            FerEdgeError: the target has the suffix of neither, or pictures that are read would be
                replaced, or joined by those that are written; or they come from an archive that
                lies beside pictures in the target, of which it may have been made.
        """
        self._target = target
        self._names = NewNames()
        self._is_file = target.suffix.lower() in SUFFIXES and not target.is_dir()
        if self._is_file and (source.is_dir() or source.suffix.lower() not in SUFFIXES):
            raise FerEdgeError(
                f"--save {target} is one picture, and {source} may hold several", "name a folder"
            )
        if not self._is_file and target.suffix and not target.is_dir():
            raise FerEdgeError(
                f"cannot tell the format of {target}",
                f"name a folder, or end its name in {', '.join(CODECS)} for a video",
            )
        whole, read = target.resolve(), source.resolve()
        if source.is_file() and not self._is_file:
            read = read.parent if source.suffix.lower() in SUFFIXES else read
            inside = whole == read
        else:
            inside = whole == read or read in whole.parents
        if inside:
            raise FerEdgeError(
                f"--save {target} lies where pictures are read from", "name a folder elsewhere"
            )
        packed = source.is_file() and source.suffix.lower() not in SUFFIXES
        beside = packed and whole == read.parent
        if beside and any(is_picture(each.name) for each in target.rglob("*")):
            raise FerEdgeError(
                f"--save {target} holds pictures beside {source}, which those in it might replace",
                "name another folder",
            )

    def open(self) -> None:
        """Nothing to do: a folder is made with its first picture."""

    def close(self) -> None:
        """Nothing is open between two pictures."""

    def write(self, result: Result) -> None:
        """Write one picture, whole or not at all."""
        name = result.frame.name or ""
        target = self._target
        if not self._is_file:
            target /= self._names.of(name, _suffix(PurePosixPath(name).suffix))
        picture = annotated(result)
        made, data = load_opencv().imencode(target.suffix, picture)
        if not made:
            height, width = picture.shape[:2]
            raise FerEdgeError(
                f"cannot write {target}: {width}×{height} pixels are too many for such a file",
                "end its name in .png",
            )
        with atomic_path(target) as temporary:
            temporary.write_bytes(data.tobytes())

    def finish(self, summary: dict[str, Any]) -> None:
        """Nothing to do: every picture is whole."""


def _suffix(suffix: str) -> str:
    """What a picture's name ends in once its faces are drawn in."""
    if suffix.lower() == ".pgm":
        return ".ppm"  # boxes are in colour
    return suffix if suffix.lower() in SUFFIXES else f"{suffix}.png"
