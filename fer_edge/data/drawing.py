"""The one renderer: a head, at any size, as an antialiased grayscale picture with its outline.

Points are complex numbers, x + iy in face coordinates (see ``person``); a shape is an array of
them. That keeps the curves below readable and quick to turn.
"""

from __future__ import annotations

import cv2
import numpy as np

from fer_edge.data.person import Expression, Identity, View

EYE_LINE = -0.22
MOUTH_LINE = 0.55

_SUBPIXEL = 4
"""Fractional bits of the coordinates handed to OpenCV."""

_ARC = np.linspace(-1, 1, 11)
"""Where curves are sampled, from one end to the other."""

_BOW = 1 - _ARC**2
"""A hump: 0 at the ends of a curve, 1 in its middle."""

_CIRCLE = np.exp(1j * np.linspace(0, 2 * np.pi, 24, endpoint=False))
_OVAL = np.exp(1j * np.linspace(0, 2 * np.pi, 40, endpoint=False))


def draw_head(
    identity: Identity, expression: Expression, view: View, size: int, extent: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a head.

    Args:
        identity: who it is.
        expression: what the face shows.
        view: how it is held and lit.
        size: side of the picture in pixels.
        extent: half side of the picture in half sides of the crop: 1 shows what a model is shown,
            1.7 all of the head with neck and shoulders.

    Returns:
        Gray (size, size) uint8, black where nobody is, and alpha (size, size) uint8, 255 where
        somebody is. Gray is premultiplied: over a background it is gray + (1 - alpha) background.
    """
    finer = max(2, -(-120 // size))
    pen = _Pen(size * finer, extent, view)
    _draw_behind(pen, identity)
    skull = _head_shape(identity, expression.mouth_open)
    pen.fill(skull, identity.skin, turned=False)
    pen.outline(skull)
    if identity.beard:
        _draw_beard(pen, identity, skull)
    pen.flush()
    cv2.multiply(pen.gray, _relief(pen, identity, expression, skull), pen.gray, scale=1 / 128)
    for side in (-1, 1):
        _draw_eye(pen, identity, expression, side)
        _draw_brow(pen, identity, expression, side)
    _draw_nose(pen, identity)
    _draw_mouth(pen, identity, expression)
    _draw_hair(pen, identity)
    if identity.glasses:
        _draw_glasses(pen, identity)
    pen.flush()
    alpha = cv2.resize(pen.alpha, (size, size), interpolation=cv2.INTER_AREA)
    gray = cv2.resize(pen.gray, (size, size), interpolation=cv2.INTER_AREA)
    return _light(gray, view, extent), alpha


class _Pen:
    """A canvas in face coordinates: turns, tilts and scales what is drawn on it."""

    def __init__(self, side: int, extent: float, view: View) -> None:
        self.gray = np.zeros((side, side), np.uint8)
        self.alpha = np.zeros((side, side), np.uint8)
        self.unit = side / (2 * extent)
        self._view = view
        self._turn = view.scale * self.unit * np.exp(1j * view.roll)
        # OpenCV's pixel centres lie on whole numbers
        self._centre = complex(*(side / 2 - 0.5 + self.unit * np.array(view.shift)))
        self._waiting: list[tuple[np.ndarray, int, bool]] = []

    def over(self, gray: np.ndarray) -> _Pen:
        """A pen of the same view on another canvas."""
        other = _Pen(len(gray), len(gray) / (2 * self.unit), self._view)
        other.gray = gray
        return other

    def fill(self, shape: np.ndarray, tone: float, turned: bool = True) -> None:
        """A polygon of one gray value; ``turned`` ones lie on the curved front of the face."""
        self._waiting.append((shape, int(min(255.0, max(0.0, tone))), turned))

    def stroke(self, line: np.ndarray, widths: np.ndarray | float, tone: float) -> None:
        """A line with a width at each of its points."""
        along = np.empty_like(line)
        along[1:-1] = line[2:] - line[:-2]
        along[0], along[-1] = line[1] - line[0], line[-1] - line[-2]
        aside = 0.5j * widths * along / (np.abs(along) + 1e-9)
        self.fill(np.concatenate([line + aside, (line - aside)[::-1]]), tone)

    def outline(self, shape: np.ndarray) -> None:
        """Add a polygon to the alpha mask."""
        points = _fixed_point(shape * self._turn + self._centre)
        cv2.fillPoly(self.alpha, [points], 255, cv2.LINE_AA, _SUBPIXEL)

    def flush(self) -> np.ndarray:
        """Draw what waits, all of it placed at once, and return the canvas."""
        if not self._waiting:
            return self.gray
        points = np.concatenate([shape for shape, _, _ in self._waiting])
        lengths = [len(shape) for shape, _, _ in self._waiting]
        turned = np.repeat([turned for _, _, turned in self._waiting], lengths)
        placed = np.where(turned, self._turned(points), points) * self._turn + self._centre
        pixels, start = _fixed_point(placed), 0
        for (_, tone, _), length in zip(self._waiting, lengths, strict=True):
            part = pixels[start : start + length]
            cv2.fillPoly(self.gray, [part], tone, cv2.LINE_AA, _SUBPIXEL)
            start += length
        self._waiting.clear()
        return self.gray

    def _turned(self, points: np.ndarray) -> np.ndarray:
        """Where points on the ellipsoid of the face come to lie when the head turns and nods."""
        x, y = points.real, points.imag
        depth = 0.75 * np.sqrt(np.maximum(0, 1 - (x / 1.05) ** 2 - (y / 1.4) ** 2))
        yaw, pitch = self._view.yaw, self._view.pitch
        across = x * np.cos(yaw) + depth * np.sin(yaw)
        return across + 1j * (y * np.cos(pitch) + depth * np.sin(pitch))


def _fixed_point(points: np.ndarray) -> np.ndarray:
    """Complex pixel positions (P,) as OpenCV takes them, (P, 2) int32."""
    pairs = points.view(np.float64).reshape(-1, 2)
    return np.rint(pairs * (1 << _SUBPIXEL)).astype(np.int32)


def _ellipse(x: float, y: float, across: float, down: float) -> np.ndarray:
    return (x + across * _CIRCLE.real) + 1j * (y + down * _CIRCLE.imag)


def _head_shape(identity: Identity, jaw_drop: float = 0.0, swell: float = 1.0) -> np.ndarray:
    """The outline of head and jaw: an ellipse above, a tapered one below."""
    x, y = _OVAL.real, _OVAL.imag
    taper = 1 - (0.30 - 0.20 * identity.jaw) * np.maximum(0, y) ** 2
    down = np.where(y > 0, (1.02 + 0.12 * jaw_drop) * y, 1.12 * swell * y)
    return identity.head_width * swell * x * taper + 1j * down


def _draw_behind(pen: _Pen, identity: Identity) -> None:
    """Long hair, neck, shoulders and ears."""
    skin, wide = identity.skin, identity.head_width
    neck = np.array([-0.42 + 0.6j, 0.42 + 0.6j, 0.46 + 1.25j, -0.46 + 1.25j])
    shoulders = np.array(
        [-0.46 + 1.12j, 0.46 + 1.12j, 1.3 + 1.4j, 1.7 + 6j, -1.7 + 6j, -1.3 + 1.4j]
    )
    cloth = 40 + (skin * 7.3 + identity.hair * 3.1) % 150
    shapes = [(neck, 0.68 * skin), (shoulders, cloth)]
    shapes += [(_ellipse(side * wide, -0.08, 0.09, 0.2), 0.8 * skin) for side in (-1, 1)]
    if identity.hair_style == "long":
        x, y = _OVAL.real, _OVAL.imag
        # a superellipse: flat at the sides, round at the corners
        curtain = (wide + 0.2) * np.sign(x) * np.abs(x) ** 0.6
        curtain = curtain + 1.3j * np.sign(y) * np.abs(y) ** 0.6
        shapes.insert(0, (curtain, 0.8 * identity.hair))
    for shape, tone in shapes:
        pen.fill(shape, tone, turned=False)
        pen.outline(shape)


def _draw_beard(pen: _Pen, identity: Identity, skull: np.ndarray) -> None:
    low = skull[skull.imag > 0.2]
    low = low[np.argsort(low.real)]
    inner = _ARC * identity.head_width * 0.72 + 1j * (0.3 + 0.12 * _BOW)
    tone = (1 - 0.6 * identity.beard) * identity.skin
    pen.fill(np.concatenate([low, inner[::-1]]), tone, turned=False)


def _relief(pen: _Pen, identity: Identity, expression: Expression, skull: np.ndarray) -> np.ndarray:
    """Soft shading that makes sockets, nose, cheeks and folds: skin times this over 128."""
    relief = pen.over(np.full_like(pen.gray, 84))
    relief.fill(skull.real * 0.84 + 0.88j * skull.imag, 132, turned=False)
    relief.fill(_ellipse(0, -0.72, 0.42, 0.16), 146)
    for side in (-1, 1):
        socket = _ellipse(side * identity.eye_spacing, EYE_LINE - 0.03, 0.25, 0.14)
        relief.fill(socket, 92)
        cheek = 0.14 + 0.03 * expression.mouth_curve
        relief.fill(_ellipse(side * identity.eye_spacing, 0.16, 0.2, cheek), 147)
        relief.fill(_ellipse(side * 0.13, 0.12, 0.05, 0.16), 112)
    relief.fill(np.array([-0.06 - 0.35j, 0.06 - 0.35j, 0.08 + 0.15j, -0.08 + 0.15j]), 160)
    relief.fill(_ellipse(0, 0.36, 0.14, 0.03), 104)
    relief.fill(_ellipse(0, 0.8 + 0.1 * expression.mouth_open, 0.22, 0.1), 144)
    # box filters twice over make a Gaussian at a fraction of its cost
    wide = max(3, round(0.16 * pen.unit) | 1)
    soft = cv2.blur(cv2.blur(relief.flush(), (wide, wide)), (wide, wide))
    folds = pen.over(soft)
    _draw_folds(folds, expression)
    narrow = max(3, round(0.04 * pen.unit) | 1)
    return cv2.blur(folds.flush(), (narrow, narrow))


def _draw_folds(pen: _Pen, expression: Expression) -> None:
    cheek = max(0.0, expression.mouth_curve) * 0.6 + max(0.0, expression.nose_wrinkle)
    down = (_ARC + 1) / 2
    for side in (-1, 1):
        fold = side * (0.19 + 0.17 * down + 0.05 * _BOW) + 1j * (0.22 + 0.28 * down)
        # OpenCV draws a polygon's edge even where it has no width
        if cheek > 0.2:
            pen.stroke(fold, 0.045 * min(cheek, 1.2), 92)
        if expression.frown > 0.2:
            line = side * (0.055 + 0.02 * _ARC) + 1j * (-0.43 + 0.1 * _ARC)
            pen.stroke(line, 0.035 * expression.frown, 84)
    if expression.nose_wrinkle > 0.3:
        for height in (-0.2, -0.12):
            line = 0.1 * _ARC + 1j * (height - 0.03 * _BOW)
            pen.stroke(line, 0.03 * expression.nose_wrinkle, 92)
    if expression.brow_raise > 0.4:
        for height in (-0.78, -0.68):
            line = 0.36 * _ARC + 1j * (height - 0.03 * _BOW)
            pen.stroke(line, 0.03 * expression.brow_raise, 104)


def _draw_eye(pen: _Pen, identity: Identity, expression: Expression, side: int) -> None:
    middle, half = side * identity.eye_spacing, identity.eye_size
    upper = max(0.12, 0.52 + 0.42 * expression.lid_raise) * half
    lower = max(0.1, 0.34 + 0.14 * expression.lid_raise - 0.12 * expression.mouth_curve) * half
    # grief lifts the inner corner and lets the outer one hang
    line = EYE_LINE + 0.05 * side * max(0.0, expression.brow_inner) * _ARC
    across = middle + half * _ARC
    top, bottom = line - upper * _BOW**0.8, line + lower * _BOW
    almond = np.concatenate([across + 1j * top, (across + 1j * bottom)[::-1]])
    pen.fill(almond, min(250.0, 150 + 0.4 * identity.skin))
    for radius, tone in ((0.47 * half, 60.0), (0.22 * half, 10.0)):
        disc = _ellipse(middle, EYE_LINE - 0.02 * half, radius, radius)
        low, high = np.interp(disc.real, across, top), np.interp(disc.real, across, bottom)
        pen.fill(disc.real + 1j * np.minimum(np.maximum(disc.imag, low), high), tone)
    pen.stroke(across + 1j * top, 0.035, 25 + 0.12 * identity.skin)
    pen.stroke(across + 1j * bottom, 0.014, 0.5 * identity.skin)


def _draw_brow(pen: _Pen, identity: Identity, expression: Expression, side: int) -> None:
    inward = (1 - _ARC) / 2  # 1 at the inner end
    across = identity.eye_spacing + 0.245 * _ARC + 0.02 - 0.05 * expression.frown * inward
    height = -0.445 - 0.035 * _BOW
    height -= 0.13 * expression.brow_raise * (0.75 + 0.25 * _BOW)
    height -= 0.14 * expression.brow_inner * (inward - 0.3)
    weight = identity.brow_weight * (0.45 + 0.75 * inward)
    pen.stroke(side * across + 1j * height, weight, 0.8 * identity.hair + 8)


def _draw_nose(pen: _Pen, identity: Identity) -> None:
    tip = EYE_LINE + identity.nose_length
    for side in (-1, 1):
        pen.fill(_ellipse(side * 0.075, tip + 0.04, 0.035, 0.02), 0.42 * identity.skin)
        wing = side * (0.12 + 0.03 * _BOW) + 1j * (tip + 0.06 * _ARC)
        pen.stroke(wing, 0.018, 0.62 * identity.skin)


def _draw_mouth(pen: _Pen, identity: Identity, expression: Expression) -> None:
    skin, curve = identity.skin, expression.mouth_curve
    opening, sneer = max(0.0, expression.mouth_open), max(0.0, expression.nose_wrinkle)
    line = MOUTH_LINE + 0.05 * opening - 0.05 * sneer + 0.17 * curve * (_BOW - 0.55)
    up = (0.045 * opening + 0.05 * sneer * (1 - 0.5 * _BOW)) * _BOW**0.6
    down = 0.30 * opening * _BOW ** (0.45 + 0.3 * max(0.0, curve))
    across = identity.mouth_width * (1 + 0.32 * expression.mouth_wide) * _ARC
    upper, lower = across + 1j * (line - up), across + 1j * (line + down)
    lip = identity.lips * (0.35 + 0.65 * _BOW)
    pen.stroke(upper - 0.5j * lip, lip, 0.66 * skin)
    pen.stroke(lower + 0.5j * lip, 1.2 * lip, 0.71 * skin)
    pen.fill(np.concatenate([upper, lower[::-1]]), 28)
    tongue = across * 0.8 + 1j * (line + 0.45 * down)
    pen.fill(np.concatenate([tongue, (0.8 * lower.real + 1j * lower.imag)[::-1]]), 0.42 * skin)
    if expression.teeth > 0.15 and (up + down).max() > 0.03:
        depth = np.minimum(up + down, 0.13) * min(1.0, 1.1 * expression.teeth)
        edge = upper + 1j * depth
        pen.fill(np.concatenate([upper, edge[::-1]]), min(245.0, 140 + 0.45 * skin))
    pen.stroke(upper, 0.016 + 0.012 * _BOW, 0.32 * skin)


def _draw_hair(pen: _Pen, identity: Identity) -> None:
    if identity.hair_style == "bald":
        return
    wide = identity.head_width
    hairline = {"short": -0.82, "fringe": -0.70, "long": -0.84}[identity.hair_style]
    outer = _head_shape(identity, swell=1.07)
    outer = outer[outer.imag < -0.28]
    outer = outer[np.argsort(outer.real)]
    inner = 0.97 * wide * _ARC + 1j * (
        hairline + 0.45 * np.abs(_ARC) ** 3.5 + 0.02 * np.cos(3 * _ARC)
    )
    cap = np.concatenate([outer, inner[::-1]])
    pen.fill(cap, identity.hair, turned=False)
    pen.outline(cap)
    shine = 0.5 * wide * _ARC - 0.1 + 1j * (-0.92 - 0.1 * _BOW)
    pen.stroke(shine, 0.06 * _BOW, 1.2 * identity.hair + 12)


def _draw_glasses(pen: _Pen, identity: Identity) -> None:
    for side in (-1, 1):
        ring = _ellipse(side * identity.eye_spacing, EYE_LINE + 0.01, 0.27, 0.2)
        pen.stroke(np.concatenate([ring, ring[:2]]), 0.028, 30)
    pen.stroke(0.12 * _ARC + 1j * (EYE_LINE - 0.02 - 0.03 * _BOW), 0.028, 30)


def _light(gray: np.ndarray, view: View, extent: float) -> np.ndarray:
    """One side lit, the other in shade."""
    reach = np.linspace(-extent, extent, len(gray), dtype=np.float32)
    across, down = view.light
    gain = 1 + np.clip(across * reach[None, :] + down * reach[:, None], -0.7, 0.7)
    return np.minimum(gray * gain, 255).astype(np.uint8)
