"""What others would take at this size, to be drawn beside the package's own family."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from fer_edge.face import FACE_SHAPE
from fer_edge.train.models.options import Count, Rate


def mini_xception(
    classes: int = 7,
    width: Count = 8,
    momentum: Rate = 0.95,
) -> keras.Model:
    """Build a network like mini-XCEPTION (Arriaga et al., arXiv 1710.07557).

    Two convolutions, four modules of two separable convolutions, a pool and a 1×1 shortcut, global
    pooling. Borders are padded and the classes come from a dense layer; the original's 64 pixels
    are 48 here. With width 8 and 7 classes it has 51,255 parameters.

    Args:
        classes: width of the output.
        width: channels of the first convolutions; the modules have 2, 4, 8 and 16 times as many.
        momentum: of the moving averages.

    Returns:
        A model from (N, 48, 48, 1) pixels in 0..255 to (N, classes) probabilities, float32.
    """
    build = _Layers(momentum)
    inputs = keras.Input(FACE_SHAPE, name="face")
    x = layers.Rescaling(1 / 127.5, offset=-1, name="scale")(inputs)
    for number in (1, 2):
        x = build.conv(x, f"conv{number}", width)
    for number, factor in enumerate((2, 4, 8, 16), start=1):
        name = f"module{number}"
        shortcut = build.conv(x, f"{name}_shortcut", width * factor, 1, stride=2, relu=False)
        x = build.separable(x, f"{name}_1", width * factor)
        x = build.separable(x, f"{name}_2", width * factor, relu=False)
        x = layers.MaxPooling2D(3, strides=2, padding="same", name=f"{name}_pool")(x)
        x = layers.Add(name=f"{name}_sum")([x, shortcut])
    return build.ended(inputs, x, classes, "mini_xception")


def mobilenet(
    classes: int = 7,
    width: Count = 16,
    dropout: Rate = 0.2,
    momentum: Rate = 0.95,
) -> keras.Model:
    """Build a network like MobileNet (Howard et al., arXiv 1704.04861), shortened for 48 pixels.

    A convolution and eight separable ones with a batch norm and a ReLU behind either half. With
    width 16 and 7 classes it has 162,759 parameters.

    Args:
        classes: width of the output.
        width: channels of the first convolution; the last ones have 16 times as many.
        dropout: share of the pooled features dropped in training.
        momentum: of the moving averages.

    Returns:
        A model from (N, 48, 48, 1) pixels in 0..255 to (N, classes) probabilities, float32.
    """
    build = _Layers(momentum)
    inputs = keras.Input(FACE_SHAPE, name="face")
    x = layers.Rescaling(1 / 127.5, offset=-1, name="scale")(inputs)
    x = build.conv(x, "conv", width, stride=2)
    plan = ((2, 1), (4, 1), (4, 1), (8, 2), (8, 1), (8, 1), (16, 2), (16, 1))
    for number, (factor, stride) in enumerate(plan, start=1):
        name = f"block{number}"
        x = build.depthwise(x, f"{name}_spatial", stride)
        x = build.conv(x, f"{name}_channels", width * factor, 1)
    return build.ended(inputs, layers.Dropout(dropout, name="dropout")(x), classes, "mobilenet")


class _Layers:
    """Convolutions with a batch norm, and the end that both networks have."""

    def __init__(self, momentum: float) -> None:
        self.momentum = momentum

    def conv(
        self, x: Any, name: str, width: int, kernel: int = 3, stride: int = 1, relu: bool = True
    ) -> Any:
        x = layers.Conv2D(width, kernel, strides=stride, padding="same", use_bias=False, name=name)(
            x
        )
        return self._normed(x, name, relu)

    def depthwise(self, x: Any, name: str, stride: int = 1, relu: bool = True) -> Any:
        x = layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False, name=name)(x)
        return self._normed(x, name, relu)

    def separable(self, x: Any, name: str, width: int, relu: bool = True) -> Any:
        """Depthwise and 1×1 without anything between, as in XCEPTION."""
        x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"{name}_spatial")(x)
        return self.conv(x, f"{name}_channels", width, 1, relu=relu)

    def ended(self, inputs: Any, x: Any, classes: int, name: str) -> keras.Model:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dense(classes, name="logits")(x)
        outputs = layers.Softmax(dtype="float32", name="probabilities")(x)
        return keras.Model(inputs, outputs, name=name)

    def _normed(self, x: Any, name: str, relu: bool) -> Any:
        x = layers.BatchNormalization(momentum=self.momentum, name=f"{name}_bn")(x)
        return layers.ReLU(name=f"{name}_relu")(x) if relu else x
