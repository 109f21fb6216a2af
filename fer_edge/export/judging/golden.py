"""The golden set of a bundle: drawn faces, never photographs, with what the model says of them."""

from __future__ import annotations

import numpy as np

from fer_edge.bundle import pack_golden
from fer_edge.data.synthetic import draw_face
from fer_edge.labels import LABELS
from fer_edge.runtime import load_model

IMAGES = 32
STEP = 1 / 256
"""Of a probability in an int8 model's output."""
ALLOWED_STEPS = 4
"""What another processor's fast kernels may add: Arm and x86 were seen 1 step apart."""


def golden_images(seed: int = 0) -> np.ndarray:
    """Half drawn faces, half noise of many scales, (32, 48, 48, 1) uint8.

    A bundle is passed on, so it must not hold pictures of people.
    """
    rng = np.random.default_rng(seed)
    drawn = np.stack([draw_face(rng, LABELS[i % len(LABELS)]) for i in range(IMAGES // 2)])
    noise = np.empty((IMAGES - len(drawn), 48, 48), np.uint8)
    for index in range(len(noise)):
        cells = (2, 4, 8, 16, 48)[index % 5]
        coarse = rng.integers(0, 256, (cells, cells))
        noise[index] = np.kron(coarse, np.ones((48 // cells, 48 // cells), int))
    return np.concatenate([drawn, noise])[..., None]


def golden_set(model: bytes, onnx: bytes | None = None) -> tuple[bytes, float]:
    """Record what the reference kernels say; they give the same bits on every processor.

    Args:
        model: the int8 TFLite.
        onnx: the int8 ONNX, where it is shipped too. It has one set of kernels only, so what they
            say here is recorded.

    Returns:
        The packed golden set, and the tolerance for fast kernels: as far as they are from the
        reference kernels on this machine, and ``ALLOWED_STEPS`` more.
    """
    faces = golden_images()
    reference = load_model(model, reference_kernels=True).probabilities(faces)
    fast = load_model(model).probabilities(faces)
    seen = float(np.abs(fast - reference).max())
    said_by_onnx = None if onnx is None else load_model(onnx).probabilities(faces)
    return pack_golden(faces, reference, said_by_onnx), round(seen + ALLOWED_STEPS * STEP, 6)
