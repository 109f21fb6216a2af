"""What a camera and a face detector do to a crop, as one Keras layer in the training graph.

Everything geometric is one affine resampling. Whatever blurs is linear and works on rows and on
columns alike, so that a Gaussian, motion and a low resolution together are one matrix for the rows
of an image and one for its columns; JPEG's transform is another. So the whole layer is some small
matrix products, the same on every Keras backend.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from fer_edge.face import FACE_SIZE
from fer_edge.train.recipe import CameraTable

Tensor = Any

LUMINANCE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float32,
)
"""The quantization table of JPEG's Annex K, which libjpeg scales by the quality."""

BEST_QUALITY = 95
"""Of a JPEG that is drawn."""

_DRAWS = 30


@keras.saving.register_keras_serializable(package="fer_edge")
class Camera(keras.layers.Layer):
    """The changes of a recipe's [camera] table; the identity at inference.

    Args:
        table: the table's keys and values.
        seed: of all that is random.

    Call arguments:
        inputs: (N, 48, 48, 1) pixels in 0..255.

    Returns:
        Pixels of the same shape, float32, whole numbers in 0..255 in training.
    """

    def __init__(self, table: dict[str, Any], seed: int, **named: Any) -> None:
        super().__init__(**{**named, "dtype": "float32"})
        self.table, self.seed = CameraTable(**table), seed
        self.generator = keras.random.SeedGenerator(seed)
        # TensorFlow resamples images outside of XLA alone, as Keras's own augmentation does
        self.supports_jit = False

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        if not training:
            return inputs
        table = self.table
        count = ops.shape(inputs)[0]
        draws = keras.random.uniform((count, _DRAWS), seed=self.generator)
        draw = iter([draws[:, index] for index in range(_DRAWS)])
        x = ops.cast(inputs, "float32")
        if table.light:
            x = _lit(x, table.light, next(draw), next(draw), next(draw))
        if table.shadow:
            depth = table.shadow * self._strength(draw)
            x = _shadowed(x, depth, next(draw), next(draw), next(draw))
        if table.flip or table.rotation_degrees or table.shift or table.scale:
            x = self._moved(x, draw)
        if table.occlusion:
            x = _occluded(x, table.occlusion * self._strength(draw), [*_take(draw, 4)])
        if table.blur or table.motion or table.smallest:
            rows, columns = self._blurs(draw)
            x = ops.matmul(ops.matmul(rows, x[..., 0]), ops.swapaxes(columns, 1, 2))[..., None]
        if table.noise:
            noise = keras.random.normal(ops.shape(x), seed=self.generator)
            x = x + noise * _by_image(table.noise * self._strength(draw))
        if table.jpeg:
            x = _compressed(x, self._quality(draw))
        return ops.clip(ops.round(x), 0, 255)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "table": self.table.model_dump(), "seed": self.seed}

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def _strength(self, draw: Any) -> Tensor:
        """(B,) in 0..1: how much of the largest change; 0 for the images that are spared."""
        chance, strength = next(draw), next(draw)
        return ops.where(chance < self.table.probability, strength, 0.0)

    def _quality(self, draw: Any) -> Tensor:
        """(B,) of JPEG; 0 for the images that are spared."""
        chance, place = next(draw), next(draw)
        best = max(BEST_QUALITY, self.table.jpeg)
        quality = self.table.jpeg + place * (best - self.table.jpeg)
        return ops.where(chance < self.table.probability, ops.maximum(quality, 1.0), 0.0)

    def _moved(self, x: Tensor, draw: Any) -> Tensor:
        table = self.table
        flip = ops.where(next(draw) < 0.5, -1.0, 1.0) if table.flip else 1.0
        angle = _signed(next(draw)) * float(np.deg2rad(table.rotation_degrees))
        size = 1 + _signed(next(draw)) * table.scale
        right, down = (_signed(next(draw)) * table.shift * FACE_SIZE for _ in range(2))
        cosine, sine = ops.cos(angle) / size, ops.sin(angle) / size
        # where each pixel of the result is taken from
        middle = (FACE_SIZE - 1) / 2
        x_x, x_y, y_x, y_y = flip * cosine, flip * sine, -sine, cosine
        x_0 = middle - x_x * (middle + right) - x_y * (middle + down)
        y_0 = middle - y_x * (middle + right) - y_y * (middle + down)
        zero = ops.zeros_like(x_0)
        transform = ops.stack([x_x, x_y, x_0, y_x, y_y, y_0, zero, zero], axis=1)
        return ops.image.affine_transform(
            x, transform, "bilinear", "nearest", data_format="channels_last"
        )

    def _blurs(self, draw: Any) -> tuple[Tensor, Tensor]:
        """Matrices (B, 48, 48) that blur the rows and the columns."""
        table = self.table
        place = ops.arange(FACE_SIZE, dtype="float32")
        apart = ops.abs(place[:, None] - place[None, :])
        blur = None
        if table.smallest:
            change = self._strength(draw) * (FACE_SIZE - table.smallest)
            blur = _low_resolution(ops.floor(FACE_SIZE - change + 0.5))
        if table.blur:
            sigma = _by_image(table.blur * self._strength(draw), 2)
            gauss = _rows_to_one(ops.exp(-ops.square(apart) / (2 * ops.square(sigma) + 1e-3)))
            blur = gauss if blur is None else ops.matmul(blur, gauss)
        if not table.motion:
            return blur, blur
        length = _by_image(table.motion * self._strength(draw), 2)
        motion = _rows_to_one(ops.clip((length + 1) / 2 - apart, 0, 1))
        moved = motion if blur is None else ops.matmul(blur, motion)
        still = ops.eye(FACE_SIZE) + ops.zeros_like(motion) if blur is None else blur
        sideways = _by_image(next(draw), 2) < 0.5
        return ops.where(sideways, still, moved), ops.where(sideways, moved, still)


def _take(draw: Any, count: int) -> list[Tensor]:
    return [next(draw) for _ in range(count)]


def _signed(uniform: Tensor) -> Tensor:
    """From 0..1 to -1..1."""
    return uniform * 2 - 1


def _by_image(values: Tensor, axes: int = 3) -> Tensor:
    """(B,) with so many axes behind, to go with what has them."""
    return ops.reshape(values, (-1, *[1] * axes))


def _lit(x: Tensor, light: float, *draws: Tensor) -> Tensor:
    gamma, contrast, brightness = (_by_image(_signed(draw)) * light for draw in draws)
    # the smallest step keeps the logarithm finite
    x = 255 * ops.exp(ops.exp(gamma) * ops.log(ops.maximum(x, 0.5) / 255))
    return (x - 127.5) * (1 + contrast) + 127.5 + 255 * brightness


def _shadowed(x: Tensor, depth: Tensor, angle: Tensor, place: Tensor, softness: Tensor) -> Tensor:
    """Darker on one side of a line; between is a ramp of a pixel to half of the face."""
    side = ops.linspace(-1.0, 1.0, FACE_SIZE)
    turn = _by_image(angle, 2) * 2 * np.pi
    across = ops.cos(turn) * side[None, None, :] + ops.sin(turn) * side[None, :, None]
    width = 0.02 + 0.4 * _by_image(softness, 2)
    shade = ops.sigmoid((across - _by_image(_signed(place), 2) * 0.7) / width)
    return x * (1 - _by_image(depth) * shade[..., None])


def _occluded(x: Tensor, area: Tensor, draws: list[Tensor]) -> Tensor:
    """A rectangle of one gray over a share ``area`` of each image."""
    row, column, shape, gray = draws
    aspect = ops.exp(_signed(shape) * 0.7)
    place = (ops.arange(FACE_SIZE, dtype="float32") + 0.5) / FACE_SIZE
    inside = 1.0
    for axis, middle, side in (
        (1, row, ops.sqrt(area * aspect)),
        (2, column, ops.sqrt(area / aspect)),
    ):
        covered = ops.abs(place[None] - middle[:, None]) < side[:, None] / 2
        covered = ops.cast(covered, "float32")
        inside = inside * (covered[:, :, None, None] if axis == 1 else covered[:, None, :, None])
    return x + inside * (255 * _by_image(gray) - x)


def _rows_to_one(matrix: Tensor) -> Tensor:
    return matrix / ops.sum(matrix, axis=-1, keepdims=True)


def _low_resolution(side: Tensor) -> Tensor:
    """(B, 48, 48): down to ``side`` pixels by area, and back up between their centres."""
    side = _by_image(side, 2)
    place = ops.arange(FACE_SIZE, dtype="float32")
    step = FACE_SIZE / side
    small, large = place[None, :, None], place[None, None, :]
    overlap = ops.minimum(large + 1, (small + 1) * step) - ops.maximum(large, small * step)
    down = ops.maximum(overlap, 0.0) / step
    centre = ops.clip((place[None, :, None] + 0.5) / step - 0.5, 0.0, side - 1)
    up = ops.maximum(1 - ops.abs(centre - place[None, None, :]), 0.0)
    return ops.matmul(up, down)


def _compressed(x: Tensor, quality: Tensor) -> Tensor:
    """The luminance of a JPEG: its 8×8 transform, quantized; as it was where quality is 0."""
    spared = quality < 1
    quality = ops.where(spared, 50.0, quality)
    scale = ops.where(quality < 50, 50 / quality, 2 - quality / 50)
    table = ops.convert_to_tensor(np.tile(LUMINANCE, (FACE_SIZE // 8, FACE_SIZE // 8)))
    steps = ops.maximum(ops.floor(table[None] * _by_image(scale, 2) + 0.5), 1.0)
    transform = ops.convert_to_tensor(_cosines())
    back = ops.transpose(transform)
    waves = ops.matmul(ops.matmul(transform, x[..., 0] - 128), back)
    waves = ops.round(waves / steps) * steps
    result = ops.matmul(ops.matmul(back, waves), transform) + 128
    return ops.where(_by_image(spared), x, result[..., None])


def _cosines() -> np.ndarray:
    """The orthonormal DCT of each 8 pixels of a row, (48, 48) float32."""
    place, wave = np.meshgrid(np.arange(8), np.arange(8))
    one = np.cos((2 * place + 1) * wave * np.pi / 16) * np.where(wave, 0.5, np.sqrt(1 / 8))
    return np.kron(np.eye(FACE_SIZE // 8), one).astype(np.float32)
