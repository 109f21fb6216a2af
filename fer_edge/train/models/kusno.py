"""The family of Kusno, Chowanda: CommIT 18(2), 251–259, 2024.

"Modeling Emotion Recognition System from Facial Images Using Convolutional Neural Networks". The
totals that its text gives for Tables IV and V are swapped: they belong to models 4 and 3.
"""

from __future__ import annotations

import keras
from keras import layers

from fer_edge.errors import FerEdgeError
from fer_edge.face import FACE_SHAPE
from fer_edge.train.models.options import Rate

FILTERS: dict[int, tuple[int, ...]] = {
    1: (32, 64, 128, 256, 512),
    2: (32, 64, 128, 256),
    3: (64, 64, 128, 128),
    4: (64, 32, 64, 32),
    5: (32, 64, 32, 64),
    6: (32, 64, 128, 128),
    7: (32, 64, 128, 256),
    8: (32, 32, 64, 64),
}
"""Filters of each model's convolutions."""


def kusno(
    classes: int = 7,
    model: int = 2,
    conv_dropout: Rate = 0.25,
    dense_dropout: Rate = 0.5,
    momentum: Rate = 0.95,
) -> keras.Model:
    """Build one of the paper's eight models: valid 3×3 convolutions, a hidden layer of 1024.

    Two convolutions, then one at a time, each but the first followed by a pool. Table III has one
    dropout more than the printed summaries: the summaries are taken. Model 7 has no batch norm.
    Model 1's fourth pool leaves 1×1×512.

    Args:
        classes: width of the output.
        model: 1 to 8.
        conv_dropout: share dropped behind the first and the last pool; the paper gives no rates.
        dense_dropout: the same before the output.
        momentum: of the batch norm's moving averages; ours.

    Returns:
        A model from (N, 48, 48, 1) pixels in 0..255 to (N, classes) probabilities, float32.

    Raises:
        FerEdgeError: there is no such model.
    """
    if model not in FILTERS:
        raise FerEdgeError(f"recipe: the paper has no model {model!r}", "choose from 1 to 8")
    inputs = keras.Input(FACE_SHAPE, name="face")
    x = layers.Rescaling(1 / 255, name="scale")(inputs)
    last = len(FILTERS[model])
    for number, filters in enumerate(FILTERS[model], start=1):
        x = layers.Conv2D(filters, 3, activation="relu", name=f"conv{number}")(x)
        if number > 1:
            x = layers.MaxPooling2D(2, name=f"pool{number}")(x)
        if number in (2, last):
            x = layers.Dropout(conv_dropout, name=f"dropout{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(1024, activation="relu", name="hidden")(x)
    if model != 7:
        x = layers.BatchNormalization(momentum=momentum, name="hidden_bn")(x)
    x = layers.Dropout(dense_dropout, name="dropout")(x)
    x = layers.Dense(classes, name="logits")(x)
    outputs = layers.Softmax(dtype="float32", name="probabilities")(x)
    return keras.Model(inputs, outputs, name="kusno")
