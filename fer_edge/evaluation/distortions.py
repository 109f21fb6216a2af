"""What a camera and a detector do to a face, at fixed strengths, for measuring what a model bears.

Training imitates the same on its own graph (``fer_edge.train.camera``). Here it is OpenCV, with a
real JPEG codec, so that a model is not measured by the very functions that it was trained with, and
no Keras is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fer_edge.face import FACE_SIZE, Pixels

Change = Callable[[Pixels, np.random.Generator], Pixels]
"""One face, (48, 48) uint8, to another."""


@dataclass(frozen=True)
class Distortion:
    """One way to change faces.

    Attributes:
        kind: such as ``blur``.
        strength: with its unit, for people.
        change: of one face; whatever is random, such as a direction, is drawn for each face.
    """

    kind: str
    strength: str
    change: Change

    @property
    def name(self) -> str:
        """Such as ``blur σ 1 px``."""
        return f"{self.kind} {self.strength}"

    def apply(self, faces: Pixels, seed: int) -> Pixels:
        """Change (N, 48, 48) uint8 faces; the same ones in the same way every time."""
        rng = np.random.default_rng(seed)
        return np.stack([self.change(face, rng) for face in faces])


def distortions() -> Iterator[Distortion]:
    """All that are measured, by kind, the weaker first."""
    for sigma in (0.5, 1.0, 2.0):
        yield Distortion("blur", f"σ {sigma:g} px", _blur(sigma))
    for sigma in (5, 10, 20):
        yield Distortion("noise", f"σ {sigma} of 255", _noise(sigma))
    for light in (0.5, 0.25):
        yield Distortion("low light", f"× {light:g}", _low_light(light))
    for quality in (50, 30, 15):
        yield Distortion("JPEG", f"quality {quality}", _jpeg(quality))
    for degrees in (10, 20):
        yield Distortion("rotation", f"±{degrees}°", _moved(degrees=degrees))
    for area in (0.1, 0.2):
        yield Distortion("occlusion", f"{area:.0%}", _occlusion(area))
    for shift in (0.05, 0.1):
        yield Distortion("box shift", f"±{shift:.0%}", _moved(shift=shift))
    for size in (0.8, 0.9, 1.1, 1.2):
        yield Distortion("box scale", f"{size:g}", _moved(size=size))
    for side in (40, 32, 24):
        yield Distortion("face of", f"{side} px", _small(side))


def _blur(sigma: float) -> Change:
    import cv2

    return lambda face, rng: cv2.GaussianBlur(face, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)


def _noise(sigma: float) -> Change:
    return lambda face, rng: _as_pixels(face + rng.normal(0, sigma, face.shape))


def _low_light(share: float) -> Change:
    """So much of the light, with the noise of a sensor whose gain was not turned up."""
    return lambda face, rng: _as_pixels(share * face + rng.normal(0, 3, face.shape))


def _jpeg(quality: int) -> Change:
    import cv2

    def change(face: Pixels, rng: np.random.Generator) -> Pixels:
        _, packed = cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, quality])
        return _plain(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE))

    return change


def _moved(degrees: float = 0, shift: float = 0, size: float = 1) -> Change:
    """Turned one way or the other, or as another box would have framed it.

    Args:
        degrees: of a turn to either side.
        shift: of the box along both axes, to either side, as a share of its own.
        size: of the box's side: above 1 the face becomes smaller.
    """
    import cv2

    middle = (FACE_SIZE - 1) / 2

    def change(face: Pixels, rng: np.random.Generator) -> Pixels:
        turn, across, down = rng.choice([-1.0, 1.0], 3)
        matrix = cv2.getRotationMatrix2D((middle, middle), turn * degrees, 1 / size)
        matrix[:, 2] += np.array([across, down]) * shift * FACE_SIZE
        # the border is repeated, as the crop rule does beyond a frame's
        return _plain(
            cv2.warpAffine(face, matrix, (FACE_SIZE, FACE_SIZE), borderMode=cv2.BORDER_REPLICATE)
        )

    return change


def _occlusion(area: float) -> Change:
    """A square of one gray somewhere inside."""
    side = round(FACE_SIZE * area**0.5)

    def change(face: Pixels, rng: np.random.Generator) -> Pixels:
        top, left = rng.integers(0, FACE_SIZE - side + 1, 2)
        covered = face.copy()
        covered[top : top + side, left : left + side] = rng.integers(0, 256)
        return covered

    return change


def _small(side: int) -> Change:
    """As a face of so many pixels arrives, enlarged as the crop rule does."""
    import cv2

    def change(face: Pixels, rng: np.random.Generator) -> Pixels:
        small = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
        return _plain(cv2.resize(small, (FACE_SIZE, FACE_SIZE), interpolation=cv2.INTER_LINEAR))

    return change


def _as_pixels(values: np.ndarray) -> Pixels:
    pixels: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return pixels


def _plain(image: Any) -> Pixels:
    """What OpenCV gives is an array, though its types do not say of what."""
    return np.asarray(image, np.uint8)
