"""What light, lens, sensor and compression do to a whole frame, by OpenCV and libjpeg themselves.

``fer_edge.train.camera`` does the like to stacks of small faces inside of the training graph.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Lens:
    """Largest changes; 0 switches one off."""

    light: float = 0.2
    """Of brightness, as a share of the range of pixels, of contrast and of gamma."""
    dark: float = 0.1
    """Share of frames in low light: a tenth to a half of it, with the noise that belongs to it."""
    shadow: float = 0.5
    """Share of light that a shadow over a part of the frame takes."""
    blur: float = 1.5
    """σ of a Gaussian, in pixels."""
    motion: float = 7
    """Length of a motion, in pixels."""
    noise: float = 10
    """σ of the sensor's noise, in steps of 255."""
    jpeg: int = 40
    """Lowest quality; 0 does not compress."""
    probability: float = 0.3
    """Of a frame to undergo each one from shadow on."""


def photograph(scene: np.ndarray, lens: Lens, rng: np.random.Generator) -> np.ndarray:
    """Take a picture of a scene.

    Args:
        scene: (rows, columns) float32 in 0..255; its memory is used.
        lens: what may happen.
        rng: what does.

    Returns:
        (rows, columns) uint8.
    """

    def happens() -> bool:
        return bool(rng.random() < lens.probability)

    if lens.light:
        gamma, contrast, brightness = rng.uniform(-1, 1, 3) * lens.light
        steps = np.linspace(0, 1, 256, dtype=np.float32) ** np.float32(np.exp(gamma))
        table = (steps * 255 - 127.5) * (1 + contrast) + 127.5 + 255 * brightness
        scene = cv2.LUT(np.clip(scene, 0, 255).astype(np.uint8), table.astype(np.float32))
    if happens() and lens.shadow:
        scene *= _shadow(scene.shape, lens.shadow * rng.random(), rng)
    noise = lens.noise * rng.random() if happens() else 0.0
    if rng.random() < lens.dark:
        scene *= rng.uniform(0.1, 0.5)
        noise = max(noise, 0.6 * lens.noise * rng.random())
    if happens() and lens.blur:
        scene = cv2.GaussianBlur(scene, (0, 0), max(0.1, lens.blur * rng.random()))
    if happens() and lens.motion:
        scene = cv2.filter2D(scene, -1, _motion(1 + lens.motion * rng.random(), rng))
    if noise:
        grain = np.empty(scene.shape, np.int16)
        cv2.setRNGSeed(int(rng.integers(1 << 31)))
        # in sixteenths of a step: OpenCV draws whole numbers fastest
        cv2.randn(grain, 0, 16 * noise)
        scene += grain.astype(np.float32) / 16
    frame = np.clip(np.rint(scene), 0, 255).astype(np.uint8)
    if happens() and lens.jpeg:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(lens.jpeg, 96))]
        frame = cv2.imdecode(cv2.imencode(".jpg", frame, quality)[1], cv2.IMREAD_GRAYSCALE)
    return frame


def _shadow(shape: tuple[int, ...], depth: float, rng: np.random.Generator) -> np.ndarray:
    """Darker on one side of a line; between is a ramp of a pixel to half of the frame."""
    turn, place, width = rng.uniform(0, 2 * np.pi), rng.uniform(-0.7, 0.7), rng.uniform(0.01, 0.3)
    down, across = (np.linspace(-1, 1, side, dtype=np.float32) for side in shape[:2])
    beyond = np.add.outer(np.sin(turn) * down, np.cos(turn) * across) - place
    return (1 - depth * np.clip(beyond / width + 0.5, 0, 1)).astype(np.float32)


def _motion(length: float, rng: np.random.Generator) -> np.ndarray:
    """A line of a length and any direction as a kernel whose sum is 1."""
    side = 2 * int(np.ceil(length / 2)) + 1
    turn = rng.uniform(0, np.pi)
    reach = np.array([np.cos(turn), np.sin(turn)]) * length / 2
    kernel = np.zeros((side, side), np.float32)
    ends = [tuple(int(value) for value in np.rint((side // 2 + s * reach) * 16)) for s in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_AA, 4)
    kernel[side // 2, side // 2] = max(kernel[side // 2, side // 2], 1e-3)
    return kernel / kernel.sum()
