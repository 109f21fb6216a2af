"""The network of Triwijoyo, Adil, Anggrawan: MATRIK 21(1), 2021, DOI 10.30812/matrik.v21i1.1526."""

from __future__ import annotations

from typing import Literal

import keras
from keras import layers

from fer_edge.face import FACE_SHAPE
from fer_edge.train.models.options import Rate

BatchNorm = Literal["after-relu", "before-relu", "none"]


def triwijoyo(
    classes: int = 7,
    batch_norm: BatchNorm = "after-relu",
    dropout: Rate = 0.2,
    momentum: Rate = 0.95,
) -> keras.Model:
    """Build the paper's network: three pairs of convolutions, a hidden layer, a softmax.

    The table prints layers 10 and 11 as 5×5, but their parameter counts (295,168 and 590,080) are
    those of 3×3: the counts win. It prints a pool stride of 1, but the outputs halve: stride 2.

    Args:
        classes: width of the output.
        batch_norm: ``after-relu`` is the table: one batch norm behind each pair of conv+ReLU and
            one before the hidden layer's ReLU; 2,787,015 parameters with 7 classes, 1,152 of them
            not trainable. ``before-relu`` is Eq. 11, z = g(BN(Wu)): one between each weight and its
            ReLU, the weights without bias. ``none`` is the paper's comparison.
        dropout: share of the hidden layer dropped in training; 0.2 in the table.
        momentum: of the batch norms' moving averages. Ours: the paper gives none, and Keras's 0.99
            lags behind in short runs.

    Returns:
        A model from (N, 48, 48, 1) pixels in 0..255 to (N, classes) probabilities, float32.
    """
    inputs = keras.Input(FACE_SHAPE, name="face")
    x = layers.Rescaling(1 / 255, name="scale")(inputs)
    for block, (filters, kernel) in enumerate(((64, 5), (128, 5), (256, 3)), start=1):
        for half in "ab":
            name = f"conv{block}{half}"
            x = layers.Conv2D(
                filters,
                kernel,
                padding="same",
                use_bias=batch_norm != "before-relu",
                name=name,
            )(x)
            if batch_norm == "before-relu":
                x = layers.BatchNormalization(momentum=momentum, name=f"{name}_bn")(x)
            x = layers.ReLU(name=f"{name}_relu")(x)
        if batch_norm == "after-relu":
            x = layers.BatchNormalization(momentum=momentum, name=f"bn{block}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{block}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(128, use_bias=batch_norm != "before-relu", name="hidden")(x)
    if batch_norm != "none":
        x = layers.BatchNormalization(momentum=momentum, name="hidden_bn")(x)
    x = layers.ReLU(name="hidden_relu")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Dense(classes, name="logits")(x)
    outputs = layers.Softmax(dtype="float32", name="probabilities")(x)
    return keras.Model(inputs, outputs, name="triwijoyo")
