"""The network of Kumar, Reddy: "Facial Emotion Recognition Using Machine Learning".

Lovely Professional University.
"""

from __future__ import annotations

import keras
from keras import layers

from fer_edge.face import FACE_SHAPE
from fer_edge.train.models.options import Rate


def kumar(
    classes: int = 7,
    batch_norm: bool = True,
    dropout: Rate = 0.6,
    momentum: Rate = 0.95,
) -> keras.Model:
    """Build five convolutions, of which the second and the fourth keep their size.

    Kernels of 3×3 fit every output size that the paper prints. Without batch norm and with 7
    classes it has 688,391 parameters. The paper uses batch norm and 60% dropout and says not where:
    here batch norm stands between each convolution and its ReLU, dropout behind the hidden layer.

    Args:
        classes: width of the output.
        batch_norm: put one between each convolution and its ReLU.
        dropout: share of the hidden layer dropped in training.
        momentum: of the moving averages; ours.

    Returns:
        A model from (N, 48, 48, 1) pixels in 0..255 to (N, classes) probabilities, float32.
    """
    inputs = keras.Input(FACE_SHAPE, name="face")
    x = layers.Rescaling(1 / 255, name="scale")(inputs)
    plan = (
        (32, "valid", 0),
        (64, "same", 1),
        (64, "valid", 0),
        (128, "same", 2),
        (128, "valid", 3),
    )
    for number, (filters, padding, pool) in enumerate(plan, start=1):
        x = layers.Conv2D(filters, 3, padding=padding, name=f"conv{number}")(x)
        if batch_norm:
            x = layers.BatchNormalization(momentum=momentum, name=f"bn{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
        if pool:
            x = layers.MaxPooling2D(2, name=f"pool{pool}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(200, activation="relu", name="hidden")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Dense(classes, name="logits")(x)
    outputs = layers.Softmax(dtype="float32", name="probabilities")(x)
    return keras.Model(inputs, outputs, name="kumar")
