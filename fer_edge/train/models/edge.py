"""The package's own family: one design at several widths, made for int8 and for small processors.

What is exported is one chain of convolutions and ReLUs: no ADD whose int8 steps have to fit two
tensors, no tensor kept alive beside the one at work, and every channel can be equalized.

A block can be trained as parallel branches, as in RepVGG (arXiv 2101.03697) and MobileOne
(2206.04040): a 3×3 convolution, a 1×1 one and the input itself, added up before the ReLU. They are
linear, so ``merged`` makes each block one convolution. Batch norms stand behind the 3×3 convolution
and behind the sum, as in QARepVGG (2212.01593). With one in each branch, as in RepVGG, that of the
input scales a channel that hardly varies by up to 30: the merged kernel then has a few weights that
take the int8 steps from all others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import keras
from keras import layers

from fer_edge.errors import FerEdgeError, nearest
from fer_edge.face import FACE_SHAPE
from fer_edge.train.models.merging import BRANCH_1, MAIN, SUM
from fer_edge.train.models.options import Rate

Chosen = TypeVar("Chosen")


@dataclass(frozen=True)
class Plan:
    """What a size is made of.

    Attributes:
        stem: channels of the first convolution, which halves the picture.
        stages: channels and blocks at 24, 12, 6 pixels and so on.
    """

    stem: int
    stages: tuple[tuple[int, int], ...]


SIZES: dict[str, dict[str, Plan]] = {
    "plain": {
        "nano": Plan(16, ((16, 3), (32, 3), (64, 2))),
        "small": Plan(32, ((32, 2), (64, 3), (128, 3))),
        "base": Plan(48, ((48, 3), (96, 4), (192, 4))),
        "large": Plan(64, ((64, 3), (128, 4), (256, 4), (512, 2))),
    },
    "separable": {
        "nano": Plan(32, ((64, 3), (64, 3), (96, 2))),
        "small": Plan(32, ((64, 6), (128, 6), (256, 4))),
        "base": Plan(48, ((128, 4), (224, 6), (384, 6))),
    },
}
"""By kind of block, with like multiply-accumulates; ``large`` is for teachers.

Plain blocks are the default. Million instructions of an int8 inference on emulated Cortex-A72 and
A76 (``benchmarks/arm``): nano, then with 56 channels in the last stage, 3.05 and 1.06, separable
4.19 and 2.01; small 10.86 and 3.44, separable 13.08 and 5.89. What a separable network wins by
its width has to outweigh that. Plain
blocks with ADDs for shortcuts in place of branches: nano 3.16 and 1.17. A channel costs a TFLite
file 12 bytes for scales and bias, and separable blocks have three times as many.
"""


def edge(
    classes: int = 7,
    size: str = "small",
    block: str = "plain",
    branches: bool = False,
    dropout: Rate = 0.2,
    momentum: Rate = 0.95,
) -> keras.Model:
    """Build a stem, stages of blocks at 24, 12 and 6 pixels, global pooling and a softmax.

    ``large`` has a fourth stage, at 3 pixels.

    Merged and with 7 classes, the sizes of plain blocks have

    =====  ==========  ====================
    size   parameters  multiply-accumulates
    =====  ==========  ====================
    nano       86,135                 9.4 M
    small     481,095                37.3 M
    base    1,516,855               119.7 M
    large   6,236,999               244.5 M
    =====  ==========  ====================

    Args:
        classes: width of the output.
        size: ``nano``, ``small``, ``base`` or, of plain blocks, ``large``.
        block: ``plain``, a 3×3 convolution, or ``separable``, a depthwise one and a 1×1 one.
        branches: train each block as parallel branches; without, which learned faster
            (``train/LOG.md``), it is one convolution from the start.
        dropout: share of the pooled features dropped in training.
        momentum: of the moving averages.

    Returns:
        A model from (N, 48, 48, 1) pixels in 0..255 to (N, classes) probabilities, float32.

    Raises:
        FerEdgeError: no such size or kind of block.
    """
    plan = _plan(size, block)
    build = _Builder(branches, momentum)
    inputs = keras.Input(FACE_SHAPE, name="face")
    # without an offset it commutes with the stem's border of zeros, so that it merges into the stem
    x = layers.Rescaling(1 / 255, name="scale")(inputs)
    x = build.convolution(x, "stem", plan.stem, stride=2)
    for stage, (width, depth) in enumerate(plan.stages, start=1):
        for number in range(1, depth + 1):
            stride = 2 if stage > 1 and number == 1 else 1
            name = f"stage{stage}_{number}"
            if block == "separable":
                x = build.depthwise(x, f"{name}_spatial", stride)
                x = build.convolution(x, f"{name}_channels", width, kernel=1)
            else:
                x = build.convolution(x, name, width, stride)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Dense(classes, name="logits")(x)
    outputs = layers.Softmax(dtype="float32", name="probabilities")(x)
    return keras.Model(inputs, outputs, name=f"edge_{size}")


@dataclass(frozen=True)
class _Builder:
    """Blocks of one convolution or of the branches that ``merged`` makes one."""

    branches: bool
    momentum: float

    def convolution(self, x: Any, name: str, width: int, stride: int = 1, kernel: int = 3) -> Any:
        options = {"strides": stride, "padding": "same", "use_bias": False}
        main = f"{name}{MAIN}"
        parts = [self._norm(layers.Conv2D(width, kernel, name=main, **options)(x), main)]
        if self.branches and kernel > 1:
            small = f"{name}{BRANCH_1}"
            picked = x
            if stride > 1:
                # TensorFlow 2.21 writes beyond its memory in the gradient of a 1×1 convolution with
                # stride 2 on one channel
                picked = layers.MaxPooling2D(1, strides=stride, name=f"{small}_picked")(x)
            parts.append(layers.Conv2D(width, 1, use_bias=False, name=small)(picked))
        return self._joined(parts, x, name, same=stride == 1 and x.shape[-1] == width)

    def depthwise(self, x: Any, name: str, stride: int) -> Any:
        main = f"{name}{MAIN}"
        conv = layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False, name=main)
        return self._joined([self._norm(conv(x), main)], x, name, same=stride == 1)

    def _joined(self, parts: list[Any], x: Any, name: str, same: bool) -> Any:
        if self.branches and same:
            parts.append(x)
        joined = parts[0]
        if len(parts) > 1:
            joined = self._norm(layers.Add(name=f"{name}{SUM}")(parts), f"{name}{SUM}")
        return layers.ReLU(name=f"{name}_relu")(joined)

    def _norm(self, x: Any, name: str) -> Any:
        return layers.BatchNormalization(momentum=self.momentum, name=f"{name}_bn")(x)


def _plan(size: str, block: str) -> Plan:
    return _known(_known(SIZES, block, "kind of block"), size, f"size of {block} blocks")


def _known(choices: Mapping[str, Chosen], name: str, what: str) -> Chosen:
    if name not in choices:
        raise FerEdgeError(
            f"recipe: model 'edge' has no {what} '{name}'",
            nearest(str(name), choices) or f"choose from {', '.join(choices)}",
        )
    return choices[name]
