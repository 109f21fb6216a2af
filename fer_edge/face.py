"""What a face is to a model. Training and the device both import this and nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fer_edge.errors import FerEdgeError

FACE_SIZE = 48
"""Pixels along each side of the square crop."""

FACE_SHAPE = (FACE_SIZE, FACE_SIZE, 1)
"""Shape of one face as a model takes it: uint8, grayscale, 0 is black."""

Pixels: TypeAlias = npt.NDArray[np.uint8]
"""Gray plane (H, W), or a stack of faces (N, 48, 48); full range, 0 is black, 255 is white."""

Box: TypeAlias = tuple[int, int, int, int]
"""Face box x, y, width, height in pixels of the frame; x, y is the upper left corner."""


@dataclass(frozen=True)
class CropRule:
    """How a detector's face box becomes the square that is shown to the model.

    The square's side is ``scale`` times the longer side of the box; its centre is the box's centre
    moved by the offsets. Pixels beyond the frame repeat the frame's border. A bundle's manifest
    records the rule, so that the device cuts faces as its model's training set did.
    """

    detector: str
    """Whose boxes the rule is for, such as "haar"."""
    scale: float = 1.0
    """Side of the square over the longer side of the box; above 0, at most 4."""
    offset_x: float = 0.0
    """Shift of the centre to the right, in longer sides of the box; -1 to 1."""
    offset_y: float = 0.0
    """Shift of the centre downwards, in longer sides of the box; -1 to 1."""

    def __post_init__(self) -> None:
        if not 0 < self.scale <= 4:
            raise FerEdgeError(f"a crop rule's scale is above 0 and at most 4, got {self.scale}")
        for name in ("offset_x", "offset_y"):
            if not abs(getattr(self, name)) <= 1:
                raise FerEdgeError(
                    f"a crop rule's {name} is from -1 to 1, got {getattr(self, name)}"
                )

    def to_dict(self) -> dict[str, Any]:
        """Return what a manifest stores: plain strings and numbers."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> CropRule:
        """Read what ``to_dict`` wrote; FerEdgeError names a missing, unknown or wrong entry."""
        known = set(cls.__dataclass_fields__)
        if unknown := sorted(set(stored) - known):
            raise FerEdgeError(f"unknown entry '{unknown[0]}' in the crop rule")
        detector = stored.get("detector")
        if not isinstance(detector, str) or not detector:
            raise FerEdgeError(f"the crop rule names no detector, got {detector!r}")
        numbers: dict[str, float] = {}
        for name in known & set(stored) - {"detector"}:
            value = stored[name]
            finite = isinstance(value, int | float) and math.isfinite(value)
            if isinstance(value, bool) or not finite:
                raise FerEdgeError(f"the crop rule's {name} is a number, got {value!r}")
            numbers[name] = float(value)
        return cls(detector, **numbers)


HAAR = CropRule("haar", scale=1.12, offset_y=0.01)
YUNET = CropRule("yunet", scale=1.02, offset_y=-0.005)
OWN = CropRule("own", scale=1.02, offset_y=-0.005)
BLAZEFACE = CropRule("blazeface", scale=1.13, offset_y=-0.09)
BLAZEFACE_FULL = CropRule("blazeface-full", scale=1.27, offset_y=-0.06)

RULES = {rule.detector: rule for rule in (HAAR, YUNET, OWN, BLAZEFACE, BLAZEFACE_FULL)}
"""Each detector's rule for FER2013's framing of a face, measured: see docs/crop-rule.md."""


def rule_for(detector: CropRule, model: CropRule) -> CropRule:
    """The crop rule for a detector's boxes that frames faces as a model was trained to see them.

    Args:
        detector: FER2013's framing by this detector.
        model: what the bundle says, which may be for another detector's boxes.

    Returns:
        ``model`` where it is for this detector. Otherwise ``detector``, widened and moved as
        ``model`` is against FER2013's framing by its own detector.

    Raises:
        FerEdgeError: the model's rule is for a detector that is not known here.
    """
    if model.detector == detector.detector:
        return model
    standard = RULES.get(model.detector)
    if standard is None:
        raise FerEdgeError(
            f"the model's crop rule is for the detector '{model.detector}', of which nothing is "
            "known here",
            f"export it again; known are {', '.join(RULES)}",
        )
    ratio = detector.scale / standard.scale
    return CropRule(
        detector.detector,
        detector.scale * model.scale / standard.scale,
        detector.offset_x + (model.offset_x - standard.offset_x) * ratio,
        detector.offset_y + (model.offset_y - standard.offset_y) * ratio,
    )


LEVEL_FROM = 10.0
"""Degrees of tilt from which a face is turned level before it is cut out."""


def crop_face(gray: Pixels, box: Box, rule: CropRule, tilt: float = 0.0) -> Pixels:
    """Cut one face out of a frame.

    Args:
        gray: the frame's gray plane, (H, W) uint8; read, never written.
        box: the face box x, y, width, height in pixels of ``gray``; may reach over its border.
        rule: from box to square.
        tilt: of the face, in degrees clockwise; from ``LEVEL_FROM`` on it is levelled.

    Returns:
        The face as a model takes it, (48, 48) uint8, freshly allocated.
    """
    import cv2

    x, y, width, height = box
    longer = max(width, height)
    side = max(1, round(longer * rule.scale))
    if abs(tilt) >= LEVEL_FROM:
        offset = np.array([rule.offset_x, rule.offset_y]) * longer
        return _levelled(gray, (x + width / 2, y + height / 2), offset, side, tilt)
    left = round(x + width / 2 + rule.offset_x * longer - side / 2)
    top = round(y + height / 2 + rule.offset_y * longer - side / 2)
    square = _square(gray, left, top, side)
    # area averages when shrinking, so that no pixel is skipped; it would be blocky when enlarging
    how = cv2.INTER_AREA if side > FACE_SIZE else cv2.INTER_LINEAR
    face: Pixels = cv2.resize(square, (FACE_SIZE, FACE_SIZE), interpolation=how)
    return face


def crop_faces(
    gray: Pixels, boxes: Sequence[Box], rule: CropRule, tilts: Sequence[float] = ()
) -> Pixels:
    """Cut all faces of a frame; returns (N, 48, 48) uint8, in the order of ``boxes``.

    ``tilts`` has one for each box, or is empty where nothing is known of them.
    """
    faces = np.empty((len(boxes), FACE_SIZE, FACE_SIZE), np.uint8)
    for face, box, tilt in zip(faces, boxes, tilts or [0.0] * len(boxes), strict=True):
        face[:] = crop_face(gray, box, rule, tilt)
    return faces


def _square(gray: Pixels, left: int, top: int, side: int) -> Pixels:
    """A square part of a frame, which may reach over its border: pixels beyond repeat it."""
    rows, columns = gray.shape
    if left >= 0 and top >= 0 and left + side <= columns and top + side <= rows:
        return gray[top : top + side, left : left + side]
    down = np.clip(np.arange(top, top + side), 0, rows - 1)
    across = np.clip(np.arange(left, left + side), 0, columns - 1)
    return gray[np.ix_(down, across)]


def _levelled(
    gray: Pixels, middle: tuple[float, float], offset: npt.NDArray[Any], side: int, tilt: float
) -> Pixels:
    """The square turned about the box's middle, which is where a tilted face has its own."""
    import cv2

    radians = math.radians(tilt)
    cosine, sine = math.cos(radians), math.sin(radians)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    # enough of the frame for the square in any position, reduced by area before it is turned
    reach = math.ceil(side * 0.75 + np.abs(offset).max())
    wide = 2 * reach
    square = _square(gray, round(middle[0]) - reach, round(middle[1]) - reach, wide)
    shrunk = max(1.0, side / FACE_SIZE)
    if shrunk > 1:
        size = max(2, round(wide / shrunk))
        square = cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA)
        shrunk = wide / size
    # from the face's pixels to those of the square
    step = side / FACE_SIZE / shrunk
    start = (len(square) - 1) / 2 + turn @ (offset / shrunk - step * (FACE_SIZE - 1) / 2)
    back = np.column_stack([turn * step, start])
    face: Pixels = cv2.warpAffine(
        square,
        back,
        (FACE_SIZE, FACE_SIZE),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return face
