"""A small plain network for the demo, for tests and as a first try on a new dataset."""

from __future__ import annotations

import keras
from keras import layers

from fer_edge.face import FACE_SHAPE
from fer_edge.train.models.options import Count, Rate


def compact(
    classes: int = 7,
    width: Count = 16,
    dropout: Rate = 0.2,
    momentum: Rate = 0.9,
) -> keras.Model:
    """Build four convolutions with batch norm before the ReLU, global pooling and a softmax.

    Every batch norm folds into its convolution when exported. With width 16 and 7 classes it has
    79,991 parameters (416 not trainable) and 7.4 M multiply-accumulates.

    Args:
        classes: width of the output.
        width: filters of the first convolution; the others have 2, 4 and 6 times as many.
        dropout: share of the pooled features dropped in training.
        momentum: of the moving averages; low, since the demo's runs are short.

    Returns:
        A model from (N, 48, 48, 1) pixels in 0..255 to (N, classes) probabilities, float32.
    """
    inputs = keras.Input(FACE_SHAPE, name="face")
    x = layers.Rescaling(1 / 127.5, offset=-1, name="scale")(inputs)
    for block, factor in enumerate((1, 2, 4, 6), start=1):
        x = layers.Conv2D(
            width * factor,
            3,
            strides=2 if block == 1 else 1,
            padding="same",
            use_bias=False,
            name=f"conv{block}",
        )(x)
        x = layers.BatchNormalization(momentum=momentum, name=f"bn{block}")(x)
        x = layers.ReLU(name=f"relu{block}")(x)
        if 1 < block < 4:
            x = layers.MaxPooling2D(2, name=f"pool{block}")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Dense(classes, name="logits")(x)
    outputs = layers.Softmax(dtype="float32", name="probabilities")(x)
    return keras.Model(inputs, outputs, name="compact")
