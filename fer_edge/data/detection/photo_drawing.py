"""Drawn heads as photos with boxes and landmarks, for a detector that is trained without data."""

from __future__ import annotations

import numpy as np

from fer_edge.data.person import PROTOTYPES, View, sample_identity

PHOTOS = 80
SIDE = 160
_EXTENT = 1.7
_FOREHEAD, _CHIN = -0.8, 1.02


def drawn_photos(
    count: int = PHOTOS, seed: int = 0
) -> tuple[tuple[str, ...], tuple[np.ndarray, ...], np.ndarray, np.ndarray]:
    """Draw people from the front before a plain wall.

    Returns:
        Names, gray pictures (160, 160) uint8, boxes (N, 4) float32 as x, y, width, height, and
        landmarks (N, 5, 2) float32 in the order of ``fer_edge.detection.LANDMARKS``.
    """
    from fer_edge.data.drawing import EYE_LINE, MOUTH_LINE, draw_head

    rng = np.random.default_rng(seed)
    unit = SIDE / (2 * _EXTENT)
    pictures, boxes, landmarks = [], [], []
    for number in range(count):
        identity = sample_identity(rng)
        expression = tuple(PROTOTYPES.values())[number % len(PROTOTYPES)]
        gray, alpha = draw_head(identity, expression, View(), SIDE, _EXTENT)
        wall = rng.uniform(20, 235) * (1 - alpha.astype(np.float32) / 255)
        pictures.append(np.clip(gray + wall, 0, 255).astype(np.uint8))
        wide, apart, mouth = identity.head_width, identity.eye_spacing, identity.mouth_width
        corners = np.array([[-wide, _FOREHEAD], [wide, _CHIN]])
        points = np.array(
            [
                [-apart, EYE_LINE],
                [apart, EYE_LINE],
                [0, EYE_LINE + identity.nose_length],
                [-mouth, MOUTH_LINE],
                [mouth, MOUTH_LINE],
            ]
        )
        corners, points = (places * unit + SIDE / 2 for places in (corners, points))
        boxes.append(np.concatenate([corners[0], corners[1] - corners[0]]))
        landmarks.append(points)
    names = tuple(f"{number:03}" for number in range(count))
    return names, tuple(pictures), np.array(boxes, np.float32), np.array(landmarks, np.float32)
