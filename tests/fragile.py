"""Networks that suit float and not int8, made in a moment: random features, a fitted read-out."""

from __future__ import annotations

from typing import Any

import numpy as np

from fer_edge.chatter import import_keras
from fer_edge.data.dataset import Dataset

keras = import_keras()

from keras import layers  # noqa: E402

from fer_edge.export.converters import tflite  # noqa: E402
from fer_edge.export.judging.budget import Budget  # noqa: E402
from fer_edge.export.judging.rehearsal import Rehearsal  # noqa: E402
from fer_edge.export.material import Material  # noqa: E402
from fer_edge.export.remedies.calibration import calibration_images  # noqa: E402
from fer_edge.export.remedies.folding import fold_batch_norms  # noqa: E402
from fer_edge.runtime import load_model  # noqa: E402

CHANNELS = 12
SHARPNESS = 30.0
"""Of the softmax."""


def features(depthwise: bool) -> Any:
    """Three convolutions with ReLUs, the second of them depthwise or not, and an average pool."""
    keras.utils.set_random_seed(4)
    x = inputs = keras.Input((48, 48, 1))
    x = layers.Rescaling(1 / 255)(x)
    x = layers.Conv2D(CHANNELS, 5, strides=4, padding="same", activation="relu", name="first")(x)
    second: Any = (
        layers.DepthwiseConv2D(3, padding="same", activation="relu", name="second")
        if depthwise
        else layers.Conv2D(CHANNELS, 3, padding="same", activation="relu", name="second")
    )
    x = layers.Conv2D(CHANNELS, 1, activation="relu", name="third")(second(x))
    x = layers.Flatten()(layers.AveragePooling2D(2)(x))
    return keras.Model(inputs, x)


def with_readout(network: Any, dataset: Dataset) -> Any:
    """Fit a dense layer to a network's features by least squares."""
    training = dataset.select("Training")
    seen = network.predict(training.faces[..., None].astype(np.float32), verbose=0)
    wanted = np.eye(len(dataset.labels))[training.targets] - 1 / len(dataset.labels)
    design = np.concatenate([seen, np.ones((len(seen), 1))], axis=1).astype(np.float64)
    ridge = 1e-4 * np.trace(design.T @ design) / design.shape[1] * np.eye(design.shape[1])
    weights = SHARPNESS * np.linalg.solve(design.T @ design + ridge, design.T @ wanted)
    logits = layers.Dense(len(dataset.labels), name="logits")
    whole = keras.Model(network.inputs, layers.Softmax()(logits(network.outputs[0])))
    logits.set_weights([weights[:-1].astype(np.float32), weights[-1].astype(np.float32)])
    return whole


def scale_channels(network: Any, writer: str, reader: str, factors: np.ndarray) -> None:
    """Scale what a layer writes by channel and take it back where it is read: the same in float."""
    kernel, bias = network.get_layer(writer).get_weights()
    outputs = kernel.reshape(-1, len(factors)) * factors
    network.get_layer(writer).set_weights([outputs.reshape(kernel.shape), bias * factors])
    kernel, bias = network.get_layer(reader).get_weights()
    read = kernel.reshape(-1, len(factors), kernel.shape[-1]) / factors[:, None]
    network.get_layer(reader).set_weights([read.reshape(kernel.shape), bias])


def material(network: Any, dataset: Dataset, budget: Budget | None = None) -> Material:
    """What the ladder works with, rehearsing on the validation split."""
    folded, count = fold_batch_norms(network)
    exact = tflite.to_float32(folded)
    held_out = dataset.select("PublicTest")
    reference = load_model(exact).probabilities(held_out.faces)
    rehearsal = Rehearsal(
        "of PublicTest", held_out.faces, held_out.targets, dataset.labels, reference
    )
    images = calibration_images(dataset, ["Training"], 70)
    training = dataset.select("Training").faces[..., None]
    return Material(folded, count, exact, images, training, rehearsal, budget or Budget(), "auto")
