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
from fer_edge.files import atomic_path
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
                replaced, or joined by those that are written.
        """
        self._target = target
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

    def open(self) -> None:
        """Nothing to do: a folder is made with its first picture."""

    def close(self) -> None:
        """Nothing is open between two pictures."""

    def write(self, result: Result) -> None:
        """Write one picture, whole or not at all."""
        target = self._target if self._is_file else self._target / _name(result)
        _, data = load_opencv().imencode(target.suffix, annotated(result))
        with atomic_path(target) as temporary:
            temporary.write_bytes(data.tobytes())

    def finish(self, summary: dict[str, Any]) -> None:
        """Nothing to do: every picture is whole."""


def _name(result: Result) -> Path:
    """Where a picture goes below the folder; a name out of an archive leads nowhere else."""
    parts = PurePosixPath(result.frame.name or "").parts
    name = Path(*(part for part in parts if part not in ("/", "..")))
    suffix = name.suffix.lower()
    if suffix == ".pgm":
        return name.with_suffix(".ppm")  # boxes are in colour
    return name if suffix in SUFFIXES else name.with_name(f"{name.name}.png")
