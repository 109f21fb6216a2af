"""The networks of Mondal: "Convolutional Neural Networks for Facial Expression Recognition".

University of Strathclyde, CS826. Where the text contradicts the printed model summaries (Figures 6
to 8), the summaries are taken.
"""

from __future__ import annotations

import keras
from keras import layers

from fer_edge.face import FACE_SHAPE
from fer_edge.train.models.options import Rate


def mondal_shallow(
    classes: int = 7, conv_dropout: Rate = 0.0, dense_dropout: Rate = 0.0
) -> keras.Model:
    """Build the shallow network (Figure 6), or with dropout the improved one (Figure 7).

    2,345,607 parameters with 7 classes, with or without dropout.

    Args:
        classes: width of the output.
        conv_dropout: share dropped behind the first and the third pool, as in Figure 7; the paper
            gives no rates.
        dense_dropout: the same behind the hidden layer.

    Returns:
        A model from (N, 48, 48, 1) pixels in 0..255 to (N, classes) probabilities, float32.
    """
    inputs = keras.Input(FACE_SHAPE, name="face")
    x = layers.Rescaling(1 / 255, name="scale")(inputs)
    x = layers.Conv2D(32, 3, activation="relu", name="conv1")(x)
    x = layers.Conv2D(64, 3, activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(2, name="pool1")(x)
    x = layers.Dropout(conv_dropout, name="dropout1")(x)
    x = layers.Conv2D(128, 3, activation="relu", name="conv3")(x)
    x = layers.MaxPooling2D(2, name="pool2")(x)
    x = layers.Conv2D(128, 3, activation="relu", name="conv4")(x)
    x = layers.MaxPooling2D(2, name="pool3")(x)
    x = layers.Dropout(conv_dropout, name="dropout2")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(1024, activation="relu", name="hidden")(x)
    x = layers.Dropout(dense_dropout, name="dropout3")(x)
    x = layers.Dense(classes, name="logits")(x)
    outputs = layers.Softmax(dtype="float32", name="probabilities")(x)
    return keras.Model(inputs, outputs, name="mondal_shallow")


def mondal_deep(
    classes: int = 7,
    conv_dropout: Rate = 0.25,
    dense_dropout: Rate = 0.5,
    momentum: Rate = 0.95,
) -> keras.Model:
    """Build the deep network (Figure 8): four stages of same-padded convolutions.

    20,552,775 parameters with 7 classes, 9,216 of them not trainable. Each convolution is followed
    by batch norm; that it stands before the ReLU is our reading, the figure does not say.

    Args:
        classes: width of the output.
        conv_dropout: share dropped behind each pool; the paper gives no rates.
        dense_dropout: the same behind the hidden layer.
        momentum: of the batch norms' moving averages; ours.

    Returns:
        A model from (N, 48, 48, 1) pixels in 0..255 to (N, classes) probabilities, float32.
    """
    inputs = keras.Input(FACE_SHAPE, name="face")
    x = layers.Rescaling(1 / 255, name="scale")(inputs)
    stages = ((64, 3, 2), (128, 5, 3), (512, 3, 4), (512, 3, 4))
    for stage, (filters, kernel, convolutions) in enumerate(stages, start=1):
        for number in range(1, convolutions + 1):
            name = f"conv{stage}_{number}"
            x = layers.Conv2D(filters, kernel, padding="same", name=name)(x)
            x = layers.BatchNormalization(momentum=momentum, name=f"{name}_bn")(x)
            x = layers.ReLU(name=f"{name}_relu")(x)
        x = layers.MaxPooling2D(2, name=f"pool{stage}")(x)
        x = layers.Dropout(conv_dropout, name=f"dropout{stage}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(512, activation="relu", name="hidden")(x)
    x = layers.Dropout(dense_dropout, name="dropout5")(x)
    x = layers.Dense(classes, name="logits")(x)
    outputs = layers.Softmax(dtype="float32", name="probabilities")(x)
    return keras.Model(inputs, outputs, name="mondal_deep")
