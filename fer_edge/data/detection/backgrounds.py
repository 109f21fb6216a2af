"""What stands behind the faces of composed frames: photographs without faces, or drawn clutter."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fer_edge.data.detection.photos import MOST_PIXELS, reduced, split_by_name
from fer_edge.errors import FerEdgeError
from fer_edge.files import is_picture

_FEWEST = 30
"""Pictures with which validation and test have some of their own."""
CLUTTER = 0.25
"""Share of drawn backgrounds among photographed ones."""


@dataclass(frozen=True)
class Backgrounds:
    """Gray pictures without faces, (H, W) uint8 each; none: clutter is drawn.

    Attributes:
        pictures: at most 1,600 pixels along the longer side.
        fingerprint: SHA-256 over names and pixels; of nothing where clutter is drawn.
    """

    pictures: tuple[np.ndarray, ...] = ()
    fingerprint: str = hashlib.sha256().hexdigest()

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
        """A background of ``size``, columns and rows, as (rows, columns) float32 in 0..255."""
        if not self.pictures or rng.random() < CLUTTER:
            return clutter(rng, size)
        picture = self.pictures[int(rng.integers(len(self.pictures)))]
        return _part(picture, rng, size)


def load_backgrounds(folders: Sequence[str], splits: Sequence[str] | None = None) -> Backgrounds:
    """Read every picture of some folders and those below; files that are no pictures are passed by.

    Args:
        folders: of photographs without faces, or single pictures.
        splits: take the part of these splits, divided by the pictures' names as photos are; so few
            pictures that there is none for each, or None, give all of them to every split.

    Raises:
        FerEdgeError: no such folder, or no picture in any.
    """
    import cv2

    files: dict[str, list[Path]] = {}
    for folder in map(Path, folders):
        if not folder.exists():
            raise FerEdgeError(
                f"there is no folder of backgrounds {folder}",
                "name one in frames.backgrounds, or none for drawn ones",
            )
        found = [folder] if folder.is_file() else sorted(folder.rglob("*"))
        for path in _one_of_each_size(p for p in found if is_picture(p.name)):
            alike = files.setdefault(str(path.relative_to(folder.parent)), [])
            # of two folders called alike, each has its own pictures; one may also be named twice
            if path.resolve() not in [other.resolve() for other in alike]:
                alike.append(path)
    if not folders:
        return Backgrounds()
    if not files:
        raise FerEdgeError(
            f"there is no picture in {', '.join(map(str, folders))}",
            "give pictures such as *.jpg or *.png",
        )
    names = tuple(files)
    if splits is not None and len(names) >= _FEWEST:
        kept = np.isin(split_by_name(names), list(splits))
        names = tuple(name for name, keep in zip(names, kept, strict=True) if keep)
    chosen = [(name, path) for name in names for path in files[name]]
    digest, pictures = hashlib.sha256(), []
    for name, path in chosen:
        gray = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if gray is None:
            continue
        pictures.append(reduced(gray, MOST_PIXELS)[0])
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(pictures[-1]).data)
    if not pictures:
        raise FerEdgeError(
            f"none of the {len(chosen)} pictures in {', '.join(map(str, folders))} can be read",
            "give pictures such as *.jpg or *.png",
        )
    return Backgrounds(tuple(pictures), digest.hexdigest())


def clutter(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """A gradient, textures of many scales, and shapes with sharp and soft edges; no faces."""
    import cv2

    columns, rows = size
    scene = np.full((rows, columns), rng.uniform(20, 235), np.float32)
    cells = 2
    while cells < columns:
        coarse = rng.normal(0, rng.uniform(0, 30), (max(2, cells * rows // columns), cells))
        scene += cv2.resize(coarse.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
        cells *= int(rng.integers(2, 6))
    for _ in range(int(rng.integers(0, 16))):
        middle = (int(rng.integers(columns)), int(rng.integers(rows)))
        half = (int(rng.integers(2, columns // 4)), int(rng.integers(2, rows // 4)))
        tone, turn = float(rng.uniform(0, 255)), float(rng.uniform(0, 180))
        kind = rng.integers(4)
        thick = -1 if rng.random() < 0.6 else int(rng.integers(1, 6))
        if kind == 0:
            cv2.ellipse(scene, middle, half, turn, 0, 360, tone, thick)
        elif kind == 1:
            end = (int(rng.integers(columns)), int(rng.integers(rows)))
            cv2.line(scene, middle, end, tone, int(rng.integers(1, 12)))
        elif kind == 2:
            corners = cv2.boxPoints((middle, half, turn)).astype(np.int32)
            cv2.fillPoly(scene, [corners], tone)
        else:
            corner = (middle[0] + half[0], middle[1] + half[1])
            cv2.rectangle(scene, middle, corner, tone, thick)
    if rng.random() < 0.4:
        scene = cv2.GaussianBlur(scene, (0, 0), float(rng.uniform(0.5, 4)))
    return np.clip(scene, 0, 255)


def _one_of_each_size(files: Iterable[Path]) -> Iterator[Path]:
    """Of files called after their size alone, such as 1920x1080.png, one in each folder.

    They are one wallpaper in several sizes, which must not stand in two splits.
    """
    seen = set()
    for path in files:
        if re.fullmatch(r"\d+x\d+", path.stem):
            if path.parent in seen:
                continue
            seen.add(path.parent)
        yield path


def _part(picture: np.ndarray, rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """A part of a picture with the frame's proportions, mirrored or not."""
    import cv2

    columns, rows = size
    most = min(picture.shape[1] / columns, picture.shape[0] / rows)
    scale = float(np.exp(rng.uniform(np.log(min(1.0, most)), np.log(most)))) if most > 0 else 1.0
    wide, high = max(1, round(columns * scale)), max(1, round(rows * scale))
    left = int(rng.integers(0, max(1, picture.shape[1] - wide + 1)))
    top = int(rng.integers(0, max(1, picture.shape[0] - high + 1)))
    part = picture[top : top + high, left : left + wide]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    how = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(part), size, interpolation=how).astype(np.float32)
