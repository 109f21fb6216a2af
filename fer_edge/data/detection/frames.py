"""Frames as a camera sees them, composed of photographed heads and backgrounds, with the truth.

Everything about a frame follows from one generator: the same seed gives the same frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from fer_edge.data.detection.backgrounds import Backgrounds
from fer_edge.data.detection.lens import Lens, photograph
from fer_edge.data.detection.pasting import Head, paste
from fer_edge.data.detection.photos import FacePhotos

_TRIES = 8
"""At a place where a head covers no other."""
_SEEN, _GLIMPSED = 0.55, 0.15
"""Share of a face that must be visible for it to count, and to be neither face nor background."""


@dataclass(frozen=True)
class Composition:
    """What frames are made of; lengths in pixels of the frame.

    The defaults are those that detectors are measured on.
    """

    size: tuple[int, int] = (320, 240)
    """Columns and rows."""
    smallest: float = 24
    largest: float = 240
    """Heights of the faces' boxes; drawn with their logarithms alike."""
    most: int = 4
    """Heads in one frame."""
    empty: float = 0.2
    """Share of frames without a face."""
    rotation_degrees: float = 20
    """Largest tilt of a head."""
    occlusion: float = 0.15
    """Share of the heads with something before a part of the face."""
    bars: float = 0.0
    """Share of frames of a wider picture, black below it as a device fits one in."""
    lens: Lens = field(default_factory=Lens)
    """Light, blur, noise and compression."""


@dataclass(frozen=True)
class Truth:
    """What is in a frame.

    Attributes:
        boxes: (F, 4) float32, x, y, width, height in pixels; may reach over the border.
        landmarks: (F, 5, 2) float32, in the order of ``fer_edge.detection.LANDMARKS``.
        ignored: (K, 4) float32, boxes of faces that are half hidden: neither face nor background.
    """

    boxes: np.ndarray
    landmarks: np.ndarray
    ignored: np.ndarray

    def scaled(self, factor: float) -> Truth:
        """The same truth of a frame ``factor`` times as large."""
        return Truth(self.boxes * factor, self.landmarks * factor, self.ignored * factor)


NOBODY = Truth(
    np.empty((0, 4), np.float32), np.empty((0, 5, 2), np.float32), np.empty((0, 4), np.float32)
)
"""The truth of an empty frame."""


class Composer:
    """Composes frames of the photos of one split.

    Args:
        photos: whose heads are placed.
        backgrounds: behind them, of the same split.
        composition: how.
    """

    def __init__(
        self, photos: FacePhotos, backgrounds: Backgrounds, composition: Composition
    ) -> None:
        self.photos, self.backgrounds, self.composition = photos, backgrounds, composition

    def frames(self, count: int, seed: int) -> Iterator[tuple[np.ndarray, Truth]]:
        """So many frames, (rows, columns) uint8, with their truth."""
        for number in range(count):
            yield self.frame(np.random.default_rng([seed, number]))

    def empty_frames(self, count: int, seed: int) -> Iterator[np.ndarray]:
        """Frames without faces; they have the clutter and the lens of the others."""
        for number in range(count):
            yield self.empty_frame(np.random.default_rng([seed, number, 1]))

    def empty_frame(self, rng: np.random.Generator) -> np.ndarray:
        """One frame without a face."""
        return photograph(self._scene(rng), self.composition.lens, rng)

    def frame(self, rng: np.random.Generator) -> tuple[np.ndarray, Truth]:
        """One frame and its truth."""
        table = self.composition
        scene = self._scene(rng)
        owner = np.full(scene.shape, -1, np.int16)
        placed: list[Head] = []
        if rng.random() >= table.empty:
            for _ in range(1 + int(rng.integers(table.most))):
                if (head := self._place(rng, placed)) is not None:
                    paste(scene, owner, len(placed), head, rng, table.occlusion)
                    placed.append(head)
        frame = photograph(scene, table.lens, rng)
        if rng.random() < table.bars:
            end = round(len(frame) * rng.uniform(0.6, 1))
            frame[end:], owner[end:] = 0, -1
        return frame, _truth(placed, owner)

    def _scene(self, rng: np.random.Generator) -> np.ndarray:
        """A background, with parts of others pasted as heads are: an edge alone is no face."""
        scene = self.backgrounds.draw(rng, self.composition.size)
        owner = np.empty(scene.shape, np.int16)
        for _ in range(int(rng.integers(3))):
            side = int(self._height(rng))
            part = self.backgrounds.draw(rng, (side, side))
            inside = np.array([0.2, 0.2, 0.6, 0.6], np.float32) * side
            place = rng.uniform(0, 1, 2) * scene.shape[::-1]
            decoy = Head.of(part, inside, np.zeros((5, 2), np.float32), side, place, 0.0, False)
            paste(scene, owner, 0, decoy, rng, 0)
        return scene

    def _height(self, rng: np.random.Generator) -> float:
        table = self.composition
        return float(np.exp(rng.uniform(np.log(table.smallest), np.log(table.largest))))

    def _place(self, rng: np.random.Generator, placed: list[Head]) -> Head | None:
        """A head at a place where it covers no other's face; None where there was no room."""
        number = int(rng.integers(len(self.photos)))
        faces = self.photos.faces[number]
        areas = faces.boxes[:, 2] * faces.boxes[:, 3] * faces.certain
        main = int(areas.argmax())
        others = np.delete(faces.boxes, main, axis=0)
        tilt = float(rng.uniform(-1, 1)) * self.composition.rotation_degrees
        mirrored = rng.random() < 0.5
        columns, rows = self.composition.size
        for _ in range(_TRIES):
            height = self._height(rng)
            room = np.maximum([columns - 0.6 * height, rows - 0.6 * height], 0.2 * height)
            place = np.array([columns, rows]) / 2 + (rng.random(2) - 0.5) * room
            if all(_apart(place, height, other) for other in placed):
                return Head.of(
                    self.photos.pictures[number],
                    faces.boxes[main],
                    faces.landmarks[main],
                    height,
                    place,
                    tilt,
                    mirrored,
                    others=others,
                )
        return None


def _apart(place: np.ndarray, height: float, other: Head) -> bool:
    """Whether two faces have their middles further apart than most of their half heights."""
    middle = other.box[:2] + other.box[2:] / 2
    return bool(np.abs(place - middle).max() > 0.45 * (height + other.box[3]))


def _truth(placed: list[Head], owner: np.ndarray) -> Truth:
    rows, columns = owner.shape
    faces: list[Head] = []
    ignored: list[np.ndarray] = []
    for number, head in enumerate(placed):
        left, top = np.maximum(np.floor(head.box[:2]), 0).astype(int)
        right, bottom = np.ceil(head.box[:2] + head.box[2:]).astype(int)
        inside = owner[top : min(bottom, rows), left : min(right, columns)] == number
        # a face fills about an ellipse in its box
        seen = inside.sum() / (np.pi / 4 * head.box[2] * head.box[3])
        if seen >= _SEEN:
            faces.append(head)
        elif seen >= _GLIMPSED:
            ignored.append(head.box)
        ignored += list(head.others)
    return Truth(
        np.array([head.box for head in faces], np.float32).reshape(-1, 4),
        np.array([head.landmarks for head in faces], np.float32).reshape(-1, 5, 2),
        np.array(ignored, np.float32).reshape(-1, 4),
    )
