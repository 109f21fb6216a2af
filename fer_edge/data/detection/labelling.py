"""Boxes and landmarks for photos of people, by YuNet, and whether it agrees with itself."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.archives import open_source
from fer_edge.chatter import silenced_stderr
from fer_edge.data.detection.photos import COLUMNS
from fer_edge.detection.measuring import overlaps
from fer_edge.errors import FerEdgeError, require_extra
from fer_edge.files import atomic_path, is_picture

LEAST_SCORE = 0.5
SCALE = 0.75
"""Of the photo that is looked at once more."""
AGREED_OVERLAP, AGREED_DISTANCE = 0.7, 0.07
"""Intersection over union of the boxes, and the landmarks' mean distance over the box's side, the
root of its area; that of the eyes is next to nothing in a profile."""
_MIRRORED = [1, 0, 2, 4, 3]


def label_photos(photos: Path, yunet: Path, target: Path) -> tuple[int, int, int]:
    """Write the CSV that ``load_photos`` reads.

    Each photo is looked at as it is, mirrored, and at three quarters of its size. Box and landmarks
    are the mean of the three; a face on which they do not agree stays as the first saw it, with
    ``agreed`` 0.

    Args:
        photos: a zip or a folder.
        yunet: YuNet's ONNX file.
        target: the CSV.

    Returns:
        How many photos there are, faces, and faces agreed upon.

    Raises:
        FerEdgeError: no such photos or network, or the target cannot be written.
    """
    require_extra("cv2", "train")
    import cv2

    find = _finder(yunet)
    rows: list[list[Any]] = []
    count = agreed = 0
    with open_source(photos, complete=lambda name: False) as entries:
        pictures = [entry for entry in entries if is_picture(entry.name)]
        for entry in sorted(pictures, key=lambda entry: entry.name):
            with entry.open() as stream:
                content = np.frombuffer(stream.read(), np.uint8)
            picture = cv2.imdecode(content, cv2.IMREAD_COLOR) if len(content) else None
            if picture is None:
                raise FerEdgeError(f"{entry.where} is no picture", "take it out, or get it again")
            count += 1
            faces = find(picture)
            faces, sure = consensus(faces, looks(picture, find))
            agreed += int(sure.sum())
            for face, same in zip(faces, sure, strict=True):
                numbers = [f"{value:.1f}" for value in face[:-1]]
                rows.append([entry.name, f"{face[-1]:.3f}", *numbers, int(same)])
    if not count:
        raise FerEdgeError(f"there is no picture in {photos}", "give JPEG, PNG or WebP files")
    with atomic_path(target) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, "agreed"])
        writer.writerows(rows)
    return count, len(rows), agreed


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
        return np.empty((0, 15), np.float32) if rows is None else rows

    return find
