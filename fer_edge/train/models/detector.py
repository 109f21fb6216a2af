"""A single-shot face detector without anchors: one fully convolutional network for any frame size.

Convolutions, batch norms and ReLUs alone, as int8 kernels like them. Three stages give faces: at a
stride of 8 pixels the small ones, at 16 and at 32 the larger ones. What a cell's numbers mean
stands in ``fer_edge.detection``, which also decodes them.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import layers

from fer_edge.detection import PARTS, STRIDES, WHOLE, padded
from fer_edge.train.models.options import Count, Rate, built, check

PRIOR = 0.01
"""Score that every cell begins with, so that the many empty ones do not drown the first steps."""
FACE = (3.9, 4.8)
"""Width and height of the face that every cell begins with, in strides; biases alone would take
hundreds of steps to get there."""
PLACES = ((-0.21, -0.1), (0.21, -0.1), (0.0, 0.08), (-0.17, 0.26), (0.17, 0.26))
"""Its landmarks, in widths and heights from its middle."""


def detector(
    size: tuple[int, int] = (320, 240),
    stem: Count = 12,
    early: Count = 24,
    widths: tuple[Count, Count, Count] = (48, 64, 96),
    depths: tuple[Count, Count, Count] = (2, 3, 2),
    head: Count = 48,
    momentum: Rate = 0.95,
) -> keras.Model:
    """Build the network for frames of one size; its weights fit every size.

    Two plain convolutions bring the frame down to a quarter, a plain one begins each stage, and
    depthwise-separable blocks follow.

    Args:
        size: columns and rows of a frame.
        stem: channels at half of the frame's sides.
        early: at a quarter.
        widths: at strides 8, 16 and 32.
        depths: blocks at these, the one that halves the sides included.
        head: channels of the separable block before each stride's outputs.
        momentum: of the moving averages.

    Returns:
        A model from (N, rows, columns, 1) pixels in 0..255 to nine maps (N, rows / stride,
        columns / stride, numbers): score, box and landmarks of stride 8, then of 16 and 32. The
        rows and columns of a map are those of ``padded`` sides.
    """
    build = _Builder(momentum)
    inputs = keras.Input((size[1], size[0], 1), name="frame")
    # without an offset it commutes with the stem's border of zeros
    x = layers.Rescaling(1 / 255, name="scale")(inputs)
    columns, rows = (whole - side for whole, side in zip(padded(size), size, strict=True))
    x = layers.ZeroPadding2D(((0, rows), (0, columns)), name=WHOLE)(x)
    x = build.plain(x, "stem", stem, 2)
    x = build.plain(x, "early", early, 2)
    outputs = []
    for stride, width, depth in zip(STRIDES, widths, depths, strict=True):
        first = build.plain if stride == STRIDES[0] else build.separable
        x = first(x, f"stage{stride}_1", width, 2)
        for number in range(2, depth + 1):
            x = build.separable(x, f"stage{stride}_{number}", width, 1)
        outputs += _outputs(build.separable(x, f"head{stride}", head, 1), stride)
    return keras.Model(inputs, outputs, name="detector")


def build_detector(options: dict[str, Any], size: tuple[int, int]) -> keras.Model:
    """Build it with a recipe's options.

    Raises:
        FerEdgeError: an option that it does not take, or a value that it cannot be built with.
    """
    check(detector, "detector", options, given="size")
    return built(detector, "detector", size=size, **options)


class _Builder:
    """Convolutions with their batch norm and ReLU."""

    def __init__(self, momentum: float) -> None:
        self.momentum = momentum

    def plain(self, x: Any, name: str, width: int, stride: int, kernel: int = 3) -> Any:
        options = {"strides": stride, "padding": "same", "use_bias": False}
        return self._active(layers.Conv2D(width, kernel, name=name, **options)(x), name)

    def separable(self, x: Any, name: str, width: int, stride: int) -> Any:
        spatial = f"{name}_spatial"
        options = {"strides": stride, "padding": "same", "use_bias": False}
        x = self._active(layers.DepthwiseConv2D(3, name=spatial, **options)(x), spatial)
        return self.plain(x, f"{name}_channels", width, 1, kernel=1)

    def _active(self, x: Any, name: str) -> Any:
        x = layers.BatchNormalization(momentum=self.momentum, name=f"{name}_bn")(x)
        return layers.ReLU(name=f"{name}_relu")(x)


def _outputs(x: Any, stride: int) -> list[Any]:
    """One map for each part of what a cell says: int8 gives each tensor one scale."""
    width, height = FACE
    begin = {
        "score": [-math.log((1 - PRIOR) / PRIOR)],
        "box": [0.0, 0.0, math.log(width), math.log(height)],
        "landmarks": [each for x, y in PLACES for each in (x * width, y * height)],
    }
    return [
        layers.Conv2D(
            numbers,
            1,
            bias_initializer=keras.initializers.Constant(begin[part]),
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            dtype="float32",
            name=f"{part}{stride}",
        )(x)
        for part, numbers in PARTS.items()
    ]
