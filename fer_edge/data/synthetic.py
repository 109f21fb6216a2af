"""A labelled set of drawn faces: always at hand, nobody's picture, no licence to ask about."""

from __future__ import annotations

import numpy as np

from fer_edge.data.dataset import Dataset
from fer_edge.data.splits import TEST, TRAINING, VALIDATION
from fer_edge.errors import FerEdgeError, require_extra
from fer_edge.face import FACE_SIZE
from fer_edge.labels import LABELS

FACES = 4000
"""How many faces the built-in set has."""

_SHARES = ((TRAINING, 0.8), (VALIDATION, 0.1), (TEST, 0.1))

_MOST = 1_000_000


def synthetic_faces(faces: int = FACES, seed: int = 0) -> Dataset:
    """Draw ``faces`` people, each showing one of the seven expressions, each expression as often.

    Expressions come at every strength down to barely visible, under pose, light, occlusion, blur
    and noise, so that a small network learns most of them within a minute and none learns all.
    The same count and seed give the same pixels on the same version of OpenCV.

    Args:
        faces: size of the set; 80% Training, 10% PublicTest, 10% PrivateTest.
        seed: of all that is random.

    Raises:
        FerEdgeError: OpenCV is not installed, or the count is not from 70 to a million.
    """
    if not 10 * len(LABELS) <= faces <= _MOST:
        raise FerEdgeError(
            f"cannot draw {faces} faces", f"choose from {10 * len(LABELS)} to {_MOST}"
        )
    require_extra("cv2", "device")
    rng = np.random.default_rng(seed)
    targets = (np.arange(faces) % len(LABELS)).astype(np.uint8)
    drawn = np.stack([draw_face(rng, LABELS[target]) for target in targets.tolist()])
    ends = np.cumsum([round(share * faces) for _, share in _SHARES[:-1]])
    splits = np.repeat([name for name, _ in _SHARES], np.diff([0, *ends, faces]))
    return Dataset(f"synthetic-{faces}-{seed}", LABELS, drawn, targets, splits)


def draw_face(rng: np.random.Generator, label: str) -> np.ndarray:
    """One face of somebody who shows ``label``, as a camera saw it; (48, 48) uint8."""
    from fer_edge.data.drawing import draw_head
    from fer_edge.data.person import sample_expression, sample_identity, sample_view

    strength = 0.28 + 0.87 * float(rng.beta(3.0, 1.5))
    expression = sample_expression(rng, label, strength)
    gray, alpha = draw_head(sample_identity(rng), expression, sample_view(rng), FACE_SIZE)
    cover = alpha.astype(np.float32) / 255
    scene = gray + (1 - cover) * _background(rng)
    if rng.random() < 0.15:
        _occlude(rng, scene)
    return _photograph(rng, scene)


def _background(rng: np.random.Generator) -> np.ndarray:
    import cv2

    coarse = rng.uniform(20, 235) + rng.uniform(5, 60) * rng.standard_normal((5, 5))
    return cv2.resize(coarse.astype(np.float32), (FACE_SIZE, FACE_SIZE))


def _occlude(rng: np.random.Generator, scene: np.ndarray) -> None:
    """A hand, a sleeve or a microphone before the face."""
    import cv2

    angle = rng.uniform(0, 2 * np.pi)
    reach = rng.uniform(0.45, 0.75) * FACE_SIZE
    x, y = FACE_SIZE / 2 + reach * np.cos(angle), FACE_SIZE / 2 + reach * np.sin(angle)
    axes = (int(rng.integers(6, 15)), int(rng.integers(8, 22)))
    tone = float(rng.uniform(10, 220))
    cv2.ellipse(scene, (int(x), int(y)), axes, float(np.degrees(angle)), 0, 360, tone, -1)


def _photograph(rng: np.random.Generator, scene: np.ndarray) -> np.ndarray:
    """Exposure, lens and sensor."""
    import cv2

    if rng.random() < 0.5:
        scene = cv2.GaussianBlur(scene, (0, 0), float(rng.uniform(0.3, 0.9)))
    scene = rng.uniform(0.7, 1.15) * scene + rng.uniform(-15, 25)
    scene += rng.uniform(1, 11) * rng.standard_normal(scene.shape)
    return np.clip(scene, 0, 255).astype(np.uint8)
