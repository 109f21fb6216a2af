"""What a drawn face is made of: who it is, what it expresses, how it is held and lit.

Lengths are in half sides of the crop: a face at rest fills -1 to 1 both ways, x to the right and y
downwards in the image, forehead to chin, as FER2013 frames it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from fer_edge.labels import LABELS


@dataclass(frozen=True)
class Expression:
    """How far each part of the face is from rest; 0 is at rest, 1 is strong.

    The parts follow the facial action units that Ekman's prototypes combine.
    """

    brow_raise: float = 0.0
    """Whole brow up (AU 1+2); negative is down (AU 4)."""
    brow_inner: float = 0.0
    """Inner ends up (AU 1), as in sadness; negative is down, as in anger."""
    frown: float = 0.0
    """Brows drawn together, with folds between them (AU 4)."""
    lid_raise: float = 0.0
    """Eyes wide (AU 5); negative is narrowed (AU 7)."""
    nose_wrinkle: float = 0.0
    """Folds beside and on the nose, upper lip up (AU 9+10)."""
    mouth_curve: float = 0.0
    """Corners up (AU 12); negative is down (AU 15)."""
    mouth_open: float = 0.0
    """Jaw dropped (AU 26)."""
    mouth_wide: float = 0.0
    """Corners apart (AU 20); negative is pursed."""
    teeth: float = 0.0
    """Share of the opening that teeth fill."""

    def toward(self, other: Expression, share: float) -> Expression:
        """A mixture: 0 gives this expression, 1 the other, beyond 1 exaggerates it."""
        return Expression(
            **{
                part.name: (1 - share) * getattr(self, part.name)
                + share * getattr(other, part.name)
                for part in fields(self)
            }
        )


NEUTRAL = Expression()

PROTOTYPES: dict[str, Expression] = {
    "angry": Expression(-0.6, -1.0, 1.0, -0.45, 0.25, -0.35, 0.05, -0.1, 0.3),
    "disgust": Expression(-0.35, -0.3, 0.45, -0.6, 1.0, -0.45, 0.3, 0.0, 0.6),
    "fear": Expression(0.75, 0.75, 0.35, 1.0, 0.0, -0.35, 0.4, 0.55, 0.5),
    "happy": Expression(0.1, 0.0, 0.0, -0.3, 0.15, 1.0, 0.45, 0.5, 0.9),
    "sad": Expression(0.1, 1.0, 0.4, -0.4, 0.0, -0.85, 0.0, -0.2, 0.0),
    "surprise": Expression(1.1, 0.1, 0.0, 0.9, 0.0, 0.0, 0.95, -0.4, 0.1),
    "neutral": NEUTRAL,
}
"""The seven expressions at full strength."""

assert tuple(PROTOTYPES) == LABELS


@dataclass(frozen=True)
class Identity:
    """Whose face it is: what stays the same from one expression to the next."""

    skin: float
    """Gray value of lit skin, 0–255."""
    hair: float
    """Gray value of hair and brows, 0–255."""
    hair_style: str
    """One of HAIR_STYLES."""
    head_width: float
    """Half width of the head at the cheekbones."""
    jaw: float
    """Width of the chin, 0 pointed to 1 square."""
    eye_size: float
    """Half width of an eye."""
    eye_spacing: float
    """Half the distance between the pupils."""
    brow_weight: float
    """Thickness of the brows."""
    nose_length: float
    """From the eye line to the tip."""
    mouth_width: float
    """Half width of the mouth at rest."""
    lips: float
    """Thickness of the lips."""
    beard: float
    """Darkness of the beard; 0 is none."""
    glasses: bool


HAIR_STYLES = ("short", "fringe", "long", "bald")


@dataclass(frozen=True)
class View:
    """How the head is held and lit."""

    roll: float = 0.0
    """Tilt in radians, clockwise in the image."""
    yaw: float = 0.0
    """Turn to the right of the image in radians."""
    pitch: float = 0.0
    """Nod downwards in radians."""
    scale: float = 1.0
    """Size of the face over the size that fills the crop."""
    shift: tuple[float, float] = (0.0, 0.0)
    """Offset of the face from the centre."""
    light: tuple[float, float] = (0.0, -0.15)
    """Where the light comes from, and by its length how much it shades the far side."""


def sample_identity(rng: np.random.Generator) -> Identity:
    """Draw a person."""
    skin = float(rng.uniform(105, 215))
    hair = float(rng.uniform(15, 70) if rng.random() < 0.75 else rng.uniform(90, 190))
    hair_style = str(rng.choice(HAIR_STYLES, p=[0.4, 0.22, 0.28, 0.1]))
    beard = float(rng.uniform(0.2, 0.8)) if hair_style != "long" and rng.random() < 0.25 else 0.0
    return Identity(
        skin=skin,
        hair=min(hair, skin - 25),
        hair_style=hair_style,
        head_width=float(rng.uniform(0.74, 0.86)),
        jaw=float(rng.uniform(0.1, 0.9)),
        eye_size=float(rng.uniform(0.165, 0.215)),
        eye_spacing=float(rng.uniform(0.355, 0.42)),
        brow_weight=float(rng.uniform(0.045, 0.085)),
        nose_length=float(rng.uniform(0.4, 0.52)),
        mouth_width=float(rng.uniform(0.26, 0.34)),
        lips=float(rng.uniform(0.035, 0.07)),
        beard=beard,
        glasses=bool(rng.random() < 0.12),
    )


def sample_expression(rng: np.random.Generator, label: str, strength: float) -> Expression:
    """Draw how somebody shows an expression: the prototype at a strength, with personal traits.

    Args:
        strength: 0 is at rest, 1 the prototype.
    """
    clean = NEUTRAL.toward(PROTOTYPES[label], strength)
    traits = rng.normal(0.0, 0.09, len(fields(clean)))
    parts = [
        getattr(clean, part.name) + trait for part, trait in zip(fields(clean), traits, strict=True)
    ]
    return Expression(*map(float, parts))


def sample_view(rng: np.random.Generator) -> View:
    """Draw a pose and a light within what a frontal face detector still finds."""
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.45)
    return View(
        roll=float(rng.normal(0, 0.10)),
        yaw=float(rng.normal(0, 0.16)),
        pitch=float(rng.normal(0, 0.09)),
        scale=float(rng.uniform(0.88, 1.06)),
        shift=(float(rng.normal(0, 0.05)), float(rng.normal(0, 0.05))),
        light=(float(strength * np.cos(angle)), float(strength * np.sin(angle))),
    )
