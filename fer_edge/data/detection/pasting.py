"""A head out of its photo, turned and scaled, pasted into a scene with soft or sharp edges."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_MIRRORED = np.array([1, 0, 2, 4, 3])
"""Right eye and left eye, right and left corner of the mouth change places."""


@dataclass(frozen=True)
class Head:
    """A head and where it comes to lie.

    Attributes:
        picture: its photo, reduced to nearly the wanted size, (H, W).
        inside: (4,) the face's box in this picture.
        turn: (2, 3) float64, from places in the picture to places in the frame.
        box: (4,) float32 in the frame, x, y, width, height; of a tilted face the box around the
            tilted ellipse.
        landmarks: (5, 2) float32 in the frame.
        others: (K, 4) float32, boxes of the photo's other faces in the frame.
    """

    picture: np.ndarray
    inside: np.ndarray
    turn: np.ndarray
    box: np.ndarray
    landmarks: np.ndarray
    others: np.ndarray

    @classmethod
    def of(
        cls,
        picture: np.ndarray,
        box: np.ndarray,
        landmarks: np.ndarray,
        height: float,
        place: np.ndarray,
        tilt: float,
        mirrored: bool,
        *,
        others: np.ndarray | None = None,
    ) -> Head:
        """Place a face.

        Args:
            picture: the photo, (H, W).
            box: (4,) of the face.
            landmarks: (5, 2).
            height: of the face's box in the frame before it is tilted.
            place: (2,) of the box's middle in the frame.
            tilt: clockwise, in degrees.
            mirrored: swap left and right.
            others: (K, 4), boxes of the photo's other faces.
        """
        scale = height / float(box[3])
        near = min(scale, 1.0)
        if near < 1:
            picture = cv2.resize(picture, None, fx=near, fy=near, interpolation=cv2.INTER_AREA)
        inside = box * near
        middle = inside[:2] + inside[2:] / 2
        radians = np.deg2rad(tilt)
        cosine, sine = np.cos(radians) * scale / near, np.sin(radians) * scale / near
        flip = -1.0 if mirrored else 1.0
        linear = np.array([[flip * cosine, -sine], [flip * sine, cosine]])
        turn = np.column_stack([linear, place - linear @ middle])

        def moved(points: np.ndarray) -> np.ndarray:
            return (points * near) @ linear.T + turn[:, 2]

        def bounds(one: np.ndarray) -> np.ndarray:
            centre = moved(one[:2] + one[2:] / 2)
            wide, high = one[2:] * near
            around = np.hypot([wide * cosine, wide * sine], [high * sine, high * cosine])
            return np.concatenate([centre - around / 2, around])

        points = moved(landmarks)
        return cls(
            picture,
            inside,
            turn,
            bounds(box).astype(np.float32),
            (points[_MIRRORED] if mirrored else points).astype(np.float32),
            np.array([bounds(other) for other in others if len(others)], np.float32).reshape(-1, 4)
            if others is not None
            else np.empty((0, 4), np.float32),
        )


def paste(
    scene: np.ndarray,
    owner: np.ndarray,
    number: int,
    head: Head,
    rng: np.random.Generator,
    occlusion: float,
) -> None:
    """Blend a head into a scene.

    Args:
        scene: (rows, columns) float32 in 0..255, changed.
        owner: (rows, columns) int16, whose pixel it is; changed to ``number`` where the head shows.
        number: of the head.
        head: placed.
        rng: of the cut, the light on the head and what is before it.
        occlusion: probability that something covers a part of the face.
    """
    rows, columns = scene.shape
    high, wide = head.picture.shape[:2]
    corners = np.array([[0, 0, 1], [wide, 0, 1], [0, high, 1], [wide, high, 1]]) @ head.turn.T
    left, top = np.maximum(np.floor(corners.min(axis=0)), 0).astype(int)
    right, bottom = np.minimum(np.ceil(corners.max(axis=0)), [columns, rows]).astype(int)
    if right <= left or bottom <= top:
        return
    picture = head.picture.astype(np.float32) * rng.uniform(0.75, 1.2) + rng.uniform(-20, 20)
    mask = _mask(head, rng)
    _cover(picture, head.inside, rng, rng.random() < occlusion)
    turn = head.turn.copy()
    turn[:, 2] -= (left, top)
    size = (int(right - left), int(bottom - top))
    picture = cv2.warpAffine(picture, turn, size, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.warpAffine(mask, turn, size)
    part = scene[top:bottom, left:right]
    part += mask * (np.clip(picture, 0, 255) - part)
    owner[top:bottom, left:right][mask > 0.5] = number


def _mask(head: Head, rng: np.random.Generator) -> np.ndarray:
    """How much of the picture is taken, (H, W) float32 in 0..1: the head alone, or all of it."""
    high, wide = head.picture.shape[:2]
    x, y, width, height = head.inside
    if rng.random() < 0.4:
        soft = max(1.0, rng.uniform(0, 0.12) * min(high, wide))
        across = np.minimum(np.arange(wide) + 1, wide - np.arange(wide)) / soft
        down = np.minimum(np.arange(high) + 1, high - np.arange(high)) / soft
        return np.minimum(np.minimum.outer(down, across), 1).astype(np.float32)
    # an ellipse from above the hair to below the chin, narrow or with much of what is around
    grown = rng.uniform(0.62, 1.1)
    across = (np.arange(wide) - (x + width / 2)) / (grown * width * rng.uniform(1.0, 1.3))
    down = (np.arange(high) - (y + height * rng.uniform(0.4, 0.5))) / (grown * height)
    away = np.sqrt(np.add.outer(down**2, across**2))
    sharpness = 1 / rng.uniform(0.03, 0.3)
    return np.clip((1 - away) * sharpness + 0.5, 0, 1).astype(np.float32)


def _cover(
    picture: np.ndarray, inside: np.ndarray, rng: np.random.Generator, covered: bool
) -> None:
    """Something before a part of the face: a mask, a hat's brim, a hand, a cup."""
    if not covered:
        return
    x, y, width, height = inside
    kind = rng.integers(3)
    tone = float(rng.uniform(0, 255))
    if kind == 0:  # over mouth and chin
        top, bottom = y + height * rng.uniform(0.58, 0.75), y + height * 1.1
        left, right = x - 0.1 * width, x + 1.1 * width
    elif kind == 1:  # over the forehead
        top, bottom = y - height * 0.4, y + height * rng.uniform(0.08, 0.28)
        left, right = x - 0.3 * width, x + 1.3 * width
    else:
        left = x + width * rng.uniform(-0.2, 0.9)
        top = y + height * rng.uniform(0, 0.9)
        right, bottom = left + width * rng.uniform(0.2, 0.5), top + height * rng.uniform(0.2, 0.5)
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    corners += rng.normal(0, 0.03 * width, corners.shape)
    cv2.fillPoly(picture, [np.rint(corners).astype(np.int32)], tone, cv2.LINE_AA)
