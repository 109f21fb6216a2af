"""Two training images in one: blended (mixup, arXiv 1710.09412) or one cut into the other (CutMix,
arXiv 1905.04899)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fer_edge.train.recipe import AugmentTable


class Batch(NamedTuple):
    """What the network sees of B images.

    Attributes:
        faces: (B, 48, 48, 1) uint8.
        targets: (B, C) or (B, H, C) float32, rows sum to 1.
        weights: (B,) or (B, H) float32.
    """

    faces: np.ndarray
    targets: np.ndarray
    weights: np.ndarray


def mix(batch: Batch, table: AugmentTable, rng: np.random.Generator) -> Batch:
    """Mix each image with another one of the batch, as [augment] says; or, by chance, none.

    The target is made of both images' targets in the proportions of the pixels.
    """
    if not (table.mixup or table.cutmix) or rng.random() >= table.mix_probability:
        return batch
    other = rng.permutation(len(batch.faces))
    cut = bool(table.cutmix) and (not table.mixup or rng.random() < 0.5)
    if cut:
        faces, kept = _cut(batch.faces, other, table.cutmix, rng)
    else:
        faces, kept = _blend(batch.faces, other, table.mixup, rng)
    return Batch(faces, *_combined(batch, other, kept))


def _blend(
    faces: np.ndarray, other: np.ndarray, alpha: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    kept = rng.beta(alpha, alpha, len(faces)).astype(np.float32)
    share = kept[:, None, None, None]
    blended = share * faces + (1 - share) * faces[other]
    return (blended + 0.5).astype(np.uint8), kept


def _cut(
    faces: np.ndarray, other: np.ndarray, alpha: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    height, width = faces.shape[1:3]
    side = np.sqrt(1 - rng.beta(alpha, alpha, len(faces)))
    inside = np.ones(faces.shape, bool)
    for axis, length in ((1, height), (2, width)):
        middle = rng.integers(length, size=len(faces))
        half = side * length / 2
        place = np.arange(length)
        covered = np.abs(place - middle[:, None]) < half[:, None]
        inside &= covered[:, :, None, None] if axis == 1 else covered[:, None, :, None]
    kept = 1 - inside.mean(axis=(1, 2, 3), dtype=np.float32)
    return np.where(inside, faces[other], faces), kept


def _combined(batch: Batch, other: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Targets and weights of two images, each in its share: as two losses would add up."""
    share = kept.reshape(-1, *[1] * (batch.weights.ndim - 1))
    own, others = share * batch.weights, (1 - share) * batch.weights[other]
    total = np.maximum(own + others, 1e-6)
    part = (own / total)[..., None]
    targets = part * batch.targets + (1 - part) * batch.targets[other]
    return targets.astype(np.float32), (own + others).astype(np.float32)
