"""Photos of people with their faces' boxes and landmarks: what a detector is made from.

A zip or a folder of pictures, and a CSV of the same name beside it with a row a face: ``photo``
(the picture's name), ``score`` (0 to 1, how sure the labeller is), ``x``, ``y``, ``w``, ``h`` and
the landmarks' places, ``right_eye_x``, ``right_eye_y`` and so on, in pixels of the picture. A
column ``agreed`` of 0 and 1 is optional. Other columns are ignored.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fer_edge.archives import open_source
from fer_edge.data.detection.photo_drawing import drawn_photos
from fer_edge.data.splits import TEST, TRAINING, VALIDATION
from fer_edge.detection import LANDMARKS
from fer_edge.errors import FerEdgeError, require_extra
from fer_edge.files import is_picture

COLUMNS = (
    "photo",
    "score",
    *("x", "y", "w", "h"),
    *(f"{name}_{axis}" for name in LANDMARKS for axis in "xy"),
)
"""That the CSV must have."""
HELD_OUT = 500
"""Photos of validation, and as many of the test; of few photos a tenth each."""
CERTAIN = 0.8
"""Score of a face that is taught; a fainter one is neither face nor background."""
MOST_PIXELS = 1600
"""Along the longer side, to which a photo or a background is reduced."""
_HIGHEST_FACE = 320
"""Pixels to which a photo's largest face is reduced; the default recipe's frames have up to 260."""
_EXAMPLE = "see docs/detector.md for how to make one"


@dataclass(frozen=True)
class Faces:
    """The faces of one picture.

    Attributes:
        boxes: (F, 4) float32, x, y, width, height in pixels.
        landmarks: (F, 5, 2) float32, x and y in pixels, in the order of ``LANDMARKS``.
        certain: (F,) bool; the others are neither faces nor background.
    """

    boxes: np.ndarray
    landmarks: np.ndarray
    certain: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True)
class FacePhotos:
    """Photos with at least one certain face each.

    Attributes:
        name: what the set calls itself.
        names: of the photos.
        pictures: gray planes, (H, W) uint8 each, reduced where the photo is larger than is used.
        faces: of each picture, in its pixels.
        splits: (N,) unicode, ``Training``, ``PublicTest`` or ``PrivateTest``, by the names alone.
    """

    name: str
    names: tuple[str, ...]
    pictures: tuple[np.ndarray, ...]
    faces: tuple[Faces, ...]
    splits: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    def select(self, splits: Sequence[str]) -> FacePhotos:
        """The photos of some splits.

        Raises:
            FerEdgeError: there is no such split, or none of its photos is left.
        """
        known = dict.fromkeys(self.splits.tolist())
        for split in splits:
            if split not in known:
                raise FerEdgeError(
                    f"{self.name} has no photos of a split '{split}'",
                    f"its splits are {', '.join(known)}",
                )
        chosen = np.flatnonzero(np.isin(self.splits, list(splits)))
        return replace(
            self,
            names=tuple(self.names[i] for i in chosen),
            pictures=tuple(self.pictures[i] for i in chosen),
            faces=tuple(self.faces[i] for i in chosen),
            splits=self.splits[chosen],
        )

    def fingerprint(self) -> str:
        """SHA-256 over names, pixels, boxes, landmarks and splits."""
        digest = hashlib.sha256("\n".join(self.names).encode())
        for picture, faces in zip(self.pictures, self.faces, strict=True):
            for array in (picture, faces.boxes, faces.landmarks, faces.certain):
                digest.update(np.ascontiguousarray(array).data)
        digest.update("\n".join(self.splits.tolist()).encode())
        return digest.hexdigest()


def load_photos(path: str | Path) -> FacePhotos:
    """Read photos and their faces.

    Args:
        path: the pictures' zip or folder, or the CSV that lies beside it under the same name; or
            "synthetic", which names drawn heads.

    Raises:
        FerEdgeError: nothing there, the CSV is missing or bad, or no photo has a certain face.
    """
    require_extra("cv2", "train")
    if str(path) == "synthetic":
        names, pictures, boxes, landmarks = drawn_photos()
        drawn = tuple(
            Faces(box[None], points[None], np.ones(1, bool))
            for box, points in zip(boxes, landmarks, strict=True)
        )
        return FacePhotos("synthetic", names, pictures, drawn, split_by_name(names))
    pictures_at, table = _pair(Path(path))
    every, found = _read_pictures(pictures_at, read_faces(table))
    names = tuple(found)
    if not names:
        raise FerEdgeError(
            f"none of the photos that {table} names is in {pictures_at}",
            "the column 'photo' holds the pictures' names, with folders if there are any",
        )
    # of all there are: which faces are certain must not move a photo from split to split
    splits = dict(zip(every, split_by_name(every), strict=True))
    return FacePhotos(
        table.stem,
        names,
        tuple(picture for picture, _ in found.values()),
        tuple(faces for _, faces in found.values()),
        np.array([splits[name] for name in names]),
    )


def beside(photos: Path) -> Path:
    """Where the CSV of a zip or a folder of photos is looked for."""
    return (
        photos.with_suffix(".csv") if photos.is_file() else photos.with_name(f"{photos.name}.csv")
    )


def split_by_name(names: Sequence[str]) -> np.ndarray:
    """Which split each photo is of, (N,) unicode.

    The order is that of the names' SHA-256, so that it says nothing about the photos: the first
    ``HELD_OUT`` are the test, the next ones validation.
    """
    held_out = min(HELD_OUT, max(1, len(names) // 10))
    order = sorted(range(len(names)), key=lambda i: hashlib.sha256(names[i].encode()).digest())
    splits = np.full(len(names), TRAINING, dtype="<U16")
    splits[order[:held_out]] = TEST
    splits[order[held_out : 2 * held_out]] = VALIDATION
    return splits


def read_faces(table: Path) -> dict[str, Faces]:
    """The CSV's faces by photo, of those photos that have a certain one.

    Raises:
        FerEdgeError: no such file, a column is missing, or a value is no number.
    """
    rows: dict[str, list[tuple[float, ...]]] = {}
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise FerEdgeError(f"{table} has no column '{missing[0]}'", _EXAMPLE)
            for row in reader:
                rows.setdefault(row["photo"] or "", []).append(
                    _numbers(row, table, reader.line_num)
                )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FerEdgeError(f"cannot read the faces' boxes {table}: {error}", _EXAMPLE) from error
    found = {photo: _faces(values) for photo, values in rows.items()}
    return {photo: faces for photo, faces in found.items() if faces.certain.any()}


def _numbers(row: dict[str, str], table: Path, line: int) -> tuple[float, ...]:
    where = f"{table}, line {line}"
    try:
        values = [float(row[name]) for name in COLUMNS[1:]]
        agreed = float(row.get("agreed") or 1)
    except (TypeError, ValueError) as error:
        raise FerEdgeError(f"{where}: not a number: {error}", _EXAMPLE) from error
    if not np.isfinite(values).all() or min(values[3:5]) <= 0:
        raise FerEdgeError(f"{where}: a box of {values[3]:g}×{values[4]:g} pixels", _EXAMPLE)
    return (*values, agreed)


def _faces(rows: Iterable[tuple[float, ...]]) -> Faces:
    values = np.asarray(list(rows), np.float32)
    landmarks = values[:, 5:-1].reshape(-1, len(LANDMARKS), 2)
    certain = (values[:, 0] >= CERTAIN) & (values[:, -1] > 0)
    return Faces(values[:, 1:5], landmarks, certain)


def _pair(path: Path) -> tuple[Path, Path]:
    """The pictures' place and the CSV."""
    if path.suffix.lower() != ".csv":
        table = beside(path)
        if not path.exists():
            raise FerEdgeError(f"there is no file or folder {path}", "check the path")
        if not table.is_file():
            raise FerEdgeError(f"there are no boxes for the photos {path}: no {table}", _EXAMPLE)
        return path, table
    for pictures in (path.with_suffix(".zip"), path.with_suffix("")):
        if pictures.exists():
            return pictures, path
    raise FerEdgeError(
        f"there are no photos for {path}: neither {path.stem}.zip nor a folder {path.stem}",
        _EXAMPLE,
    )


def _read_pictures(
    path: Path, wanted: dict[str, Faces]
) -> tuple[list[str], dict[str, tuple[np.ndarray, Faces]]]:
    """The names of all pictures, and the gray planes and faces of those wanted, in their order."""
    import cv2

    found: dict[str, tuple[np.ndarray, Faces]] = {}
    with open_source(path, complete=lambda name: False) as entries:
        pictures = [entry for entry in entries if is_picture(entry.name)]
        for entry in sorted(pictures, key=lambda entry: entry.name):
            if entry.name not in wanted:
                continue
            with entry.open() as stream:
                content = np.frombuffer(stream.read(), np.uint8)
            gray = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE) if len(content) else None
            if gray is None:
                raise FerEdgeError(f"{entry.where} is no picture", "take it out, or get it again")
            found[entry.name] = _as_used(np.asarray(gray), wanted[entry.name])
        return [entry.name for entry in pictures], found


def _as_used(gray: np.ndarray, faces: Faces) -> tuple[np.ndarray, Faces]:
    """A photo no larger than frames show it, so that a thousand of a phone's fit into memory."""
    highest = float(faces.boxes[faces.certain, 3].max())
    gray, scale = reduced(gray, min(MOST_PIXELS, max(gray.shape) * _HIGHEST_FACE / highest))
    if scale == 1:
        return gray, faces
    return gray, replace(faces, boxes=faces.boxes * scale, landmarks=faces.landmarks * scale)


def reduced(picture: np.ndarray, most: float) -> tuple[np.ndarray, float]:
    """A picture of at most so many pixels along its longer side, and its scale; 1 as it was."""
    import cv2

    scale = max(most / max(picture.shape[:2]), 1 / min(picture.shape[:2]))  # one pixel stays
    if scale >= 1:
        return picture, 1.0
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(small), scale
