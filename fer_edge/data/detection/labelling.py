"""Boxes and landmarks for photos of people, by YuNet, and whether it agrees with itself."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.archives import open_source
from fer_edge.chatter import silenced_stderr
from fer_edge.data.detection.photos import COLUMNS, beside, reduced
from fer_edge.data.images import decode
from fer_edge.detection.measuring import overlaps
from fer_edge.errors import FerEdgeError, require_extra
from fer_edge.files import atomic_path, is_picture

LEAST_SCORE = 0.5
SIDES = 384, 1536
"""Pixels along the longer side, to which a photo is reduced for its large and its small faces."""
SCALE = 0.75
"""Of the photo that is looked at once more."""
AGREED_OVERLAP, AGREED_DISTANCE = 0.7, 0.07
"""Intersection over union of the boxes, and the landmarks' mean distance over the box's side, the
root of its area; that of the eyes is next to nothing in a profile."""
_MIRRORED = [1, 0, 2, 4, 3]


@dataclass(frozen=True)
class Labelled:
    """What became of some photos.

    Attributes:
        table: the CSV.
        photos: how many were looked at.
        faces: found on them.
        agreed: how many of the faces were found alike three times.
        unreadable: remarks on those that could not be read.
    """

    table: Path
    photos: int
    faces: int
    agreed: int
    unreadable: tuple[str, ...]


def label_photos(photos: Path, yunet: Path, table: Path | None = None) -> Labelled:
    """Write the CSV that ``load_photos`` reads.

    Each photo is reduced for its large faces, less for its small ones, and looked at as it then is,
    mirrored, and at three quarters of its size. Box and landmarks are the mean of the three; a face
    on which they do not agree stays as the first saw it, with ``agreed`` 0.

    Args:
        photos: a zip or a folder.
        yunet: YuNet's ONNX file.
        table: the CSV, which is replaced; None names it as ``load_photos`` looks for it, and leaves
            one that is there.

    Raises:
        FerEdgeError: no such photos or network, none can be read, or the CSV is there already or
            cannot be written.
    """
    require_extra("cv2", "train")
    target = table or beside(photos)
    if table is None and target.exists():
        raise FerEdgeError(f"{target} is there already", f"replace it with -o {target}")
    find = _finder(yunet)
    rows: list[list[Any]] = []
    count = agreed = 0
    unreadable = []
    with open_source(photos, complete=lambda name: False) as entries:
        pictures = [entry for entry in entries if is_picture(entry.name)]
        for entry in sorted(pictures, key=lambda entry: entry.name):
            try:
                with entry.open() as stream:
                    picture = decode(stream.read(), colour=True)
            except ValueError as error:
                unreadable.append(f"{entry.name}: {error}")
                continue
            count += 1
            faces, sure = label(picture, find)
            agreed += int(sure.sum())
            for face, same in zip(faces, sure, strict=True):
                numbers = [f"{value:.1f}" for value in face[:-1]]
                rows.append([entry.name, f"{face[-1]:.3f}", *numbers, int(same)])
    if not pictures:
        raise FerEdgeError(f"there is no picture in {photos}", "give JPEG, PNG or WebP files")
    if not count:
        raise FerEdgeError(
            f"none of the {len(pictures):,} pictures in {photos} can be read: {unreadable[0]}",
            "try to open one of them in a viewer",
        )
    with atomic_path(target) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, "agreed"])
        writer.writerows(rows)
    return Labelled(target, count, len(rows), agreed, tuple(unreadable))


def print_labelled(done: Labelled) -> None:
    """Print the counts and what could not be read."""
    for remark in done.unreadable:
        print(remark)
    if done.unreadable:
        print(f"{len(done.unreadable):,} unreadable, left out")
    print(
        f"{done.photos:,} photos, {done.faces:,} faces, {done.agreed:,} found alike three times: "
        f"{done.table}"
    )


def label(
    picture: np.ndarray, find: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The faces of a photo of any size, and on which of them all looks agree.

    YuNet finds faces of some 20 to 400 pixels, and on larger ones things that are none. So a photo
    is reduced for its large faces, and what it shows less reduced counts elsewhere alone.

    Returns:
        (F, 15): x, y, width, height, five landmarks, score; and (F,) bool.
    """
    faces, sure = np.empty((0, 15), np.float32), np.empty(0, bool)
    for most in SIDES:
        small, scale = reduced(picture, most)
        found = find(small)
        found, agreed = consensus(found, looks(small, find))
        found[:, :14] /= scale
        new = ~_on_one_another(found, faces)
        faces = np.concatenate([faces, found[new]])
        sure = np.concatenate([sure, agreed[new]])
        if scale == 1:
            break
    return faces, sure


def looks(picture: np.ndarray, find: Callable[[np.ndarray], np.ndarray]) -> list[np.ndarray]:
    """The faces of the mirrored and of the smaller picture, in places of the picture itself."""
    import cv2

    mirrored = find(np.ascontiguousarray(picture[:, ::-1]))
    width = picture.shape[1]
    mirrored[:, 0] = width - mirrored[:, 0] - mirrored[:, 2]
    points = mirrored[:, 4:14].reshape(-1, 5, 2)[:, _MIRRORED]
    points[..., 0] = width - points[..., 0]
    mirrored[:, 4:14] = points.reshape(-1, 10)
    small = cv2.resize(picture, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_AREA)
    smaller = find(small)
    smaller[:, :14] /= SCALE
    return [mirrored, smaller]


def consensus(faces: np.ndarray, others: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The mean of all looks at each face, and whether they agree on it.

    Args:
        faces: (F, 15): x, y, width, height, five landmarks, score.
        others: the same of other looks, in the same places.

    Returns:
        (F, 15), with the first look's scores, and its numbers where the looks do not agree; and
        (F,) bool.
    """
    same = np.ones(len(faces), bool)
    total = faces.copy()
    for other in others:
        if not len(other):
            return faces, np.zeros(len(faces), bool)
        shares = overlaps(faces[:, :4], other[:, :4])
        nearest = other[shares.argmax(axis=1)]
        apart = (faces - nearest)[:, 4:14].reshape(-1, 5, 2)
        away = np.linalg.norm(apart, axis=2).mean(axis=1)
        side = np.sqrt(faces[:, 2:4].prod(axis=1))
        same &= (shares.max(axis=1) >= AGREED_OVERLAP) & (away <= AGREED_DISTANCE * side)
        total += nearest
    mean = np.where(same[:, None], total / (1 + len(others)), faces)
    mean[:, 14] = faces[:, 14]
    return mean, same


def _on_one_another(found: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which faces have their middle in one of others, or that one's in theirs, (F,) bool."""

    def middles_in(ones: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        away = np.abs(ones[:, None, :2] + ones[:, None, 2:4] / 2 - boxes[:, :2] - boxes[:, 2:4] / 2)
        return (away < boxes[:, 2:4] / 2).all(axis=2)

    return (middles_in(found, others) | middles_in(others, found).T).any(axis=1)


def _finder(yunet: Path) -> Callable[[np.ndarray], np.ndarray]:
    import cv2

    if not yunet.is_file():
        raise FerEdgeError(f"no face detector {yunet}", "name YuNet's ONNX file with --yunet")
    try:
        with silenced_stderr():
            network = cv2.FaceDetectorYN.create(str(yunet), "", (64, 64), LEAST_SCORE)
            network.detect(np.zeros((64, 64, 3), np.uint8))
    except (cv2.error, SystemError) as error:
        raise FerEdgeError(
            f"{yunet} is not YuNet", "get one: fer-edge doctor --get yunet"
        ) from error

    def find(picture: np.ndarray) -> np.ndarray:
        network.setInputSize(picture.shape[1::-1])
        _, rows = network.detect(picture)
        found = np.empty((0, 15), np.float32) if rows is None else rows
        return found[np.isfinite(found).all(axis=1)]  # of a strip it may give infinite boxes

    return find
