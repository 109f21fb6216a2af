"""Faces cut out of photographs as the device cuts them out of its frames."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from fer_edge.archives import open_source
from fer_edge.data.image_folder import tell_of_others
from fer_edge.data.images import SMALLEST_SIDE
from fer_edge.data.own_labels import LABELS_FILE, MOST_BYTES
from fer_edge.errors import FerEdgeError
from fer_edge.face import Pixels, crop_face
from fer_edge.files import NewNames, atomic_folder, is_picture

if TYPE_CHECKING:
    from fer_edge.device.detectors import Detector
    from fer_edge.device.sources import Source


@dataclass(frozen=True)
class Cropped:
    """What became of some photographs.

    Attributes:
        folder: that holds the faces.
        photos: how many there were.
        faces: how many gave one.
        several: how many showed more than one, of which the largest was taken.
        without: names of those in which no face was found, or only one too small.
        unreadable: remarks on those that could not be read.
    """

    folder: Path
    photos: int
    faces: int
    several: int
    without: tuple[str, ...]
    unreadable: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"folder": str(self.folder)}


def crop_photos(photos: Path, source: Source, detector: Detector, folder: Path) -> Cropped:
    """Write the largest face of each photograph as 48×48 gray PNG, under the photograph's path.

    Files among them that are no pictures by their names are told in a warning.

    Args:
        photos: the folder or archive, or the one photograph; its labels.txt is copied.
        source: gives its pictures.
        detector: finds the faces; its crop rule frames them as FER2013 does.
        folder: to be written, whole or not at all; must not exist, or be empty.

    Raises:
        FerEdgeError: no face in any of them, none can be read, or the folder cannot be written.
    """
    _require_empty(folder, photos)
    labels = _look_around(photos)
    faces: dict[PurePosixPath, Pixels] = {}
    names = NewNames()
    several, without = 0, []
    with source:
        for frame in source.frames():
            name = frame.name or f"{frame.index}"
            face, found = largest_face(frame.gray, detector)
            if face is None:
                without.append(name)
                continue
            several += found > 1
            faces[names.of(name, ".png")] = face
        unreadable = source.counts.notes
    count = len(faces) + len(without) + len(unreadable)
    if not faces:
        raise FerEdgeError(
            f"no face was found in any of the {count:,} pictures in {photos}",
            "smaller faces are found with a lower --min-face, such as 0.05",
        )
    with atomic_folder(folder) as temporary:
        for file, face in faces.items():
            _write(face, temporary / file)
        if labels is not None:
            (temporary / LABELS_FILE).write_bytes(labels)
    return Cropped(folder, count, len(faces), several, tuple(without), unreadable)


def largest_face(gray: Pixels, detector: Detector) -> tuple[Pixels | None, int]:
    """The largest face of a picture, levelled where it is tilted, by the detector's crop rule.

    Args:
        gray: (height, width) uint8.
        detector: finds the faces.

    Returns:
        The face, (48, 48) uint8, or None where there is none or it is too small to be one; and how
        many were found.
    """
    boxes = detector.detect(gray)
    if not boxes or max(boxes[0][2:]) * detector.crop_rule.scale < SMALLEST_SIDE:
        return None, len(boxes)
    tilt = detector.tilts[0] if detector.tilts else 0.0
    return crop_face(gray, boxes[0], detector.crop_rule, tilt), len(boxes)


def print_cropped(done: Cropped) -> None:
    """Print the counts and the names of what was left out."""
    for name in done.without:
        print(f"no face found: {name}")
    for remark in done.unreadable:
        print(remark)
    print(f"{done.faces:,} faces out of {done.photos:,} pictures: {done.folder}")
    print(f"  {len(done.without):,} without a face, {len(done.unreadable):,} unreadable, left out")
    print(f"  {done.several:,} with several faces, of which the largest was taken")


def _require_empty(folder: Path, photos: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FerEdgeError(f"{folder} is there already", "name another folder with -o")
    if photos.is_dir() and folder.resolve().is_relative_to(photos.resolve()):
        raise FerEdgeError(
            f"{folder} lies inside of {photos}, whose pictures it would add to",
            "name a folder elsewhere with -o",
        )


def _look_around(photos: Path) -> bytes | None:
    """The labels.txt of a folder or an archive, where there is one; warns of other files."""
    with open_source(photos, complete=lambda name: False) as entries:
        visible = [entry for entry in entries if not entry.basename.startswith(".")]
        others = [entry for entry in visible if not is_picture(entry.name)]
        if len(others) < len(visible):
            tell_of_others(others)
        for entry in entries:
            if entry.basename == LABELS_FILE:
                with entry.open() as stream:
                    return stream.read(MOST_BYTES)
    return None


def _write(face: Pixels, file: Path) -> None:
    import cv2

    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(cv2.imencode(".png", face)[1].tobytes())
