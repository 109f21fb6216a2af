"""The training model of a detector: its nine maps as one tensor, with loss and optimizer."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from fer_edge.detection import PARTS
from fer_edge.train.detection.losses import DetectionLoss, TaughtOverlap
from fer_edge.train.models.detector import build_detector
from fer_edge.train.optimizers import optimizer_of
from fer_edge.train.precision import choose_policy, policy
from fer_edge.train.recipe import Recipe


def build_detection_trainer(
    recipe: Recipe, steps: int, devices: Sequence[str] | None = None
) -> keras.Model:
    """A compiled model from (N, rows, columns, 1) frames to (N, cells, 15) as the loss takes them.

    Args:
        recipe: of a detector.
        steps: batches of an epoch.
        devices: that will train it; call it inside ``placed_on`` them.
    """
    size = (recipe.frames.width, recipe.frames.height)
    with policy(choose_policy(recipe.fit.mixed_precision, devices)):
        network = build_detector(recipe.model.options, size)
    inputs = keras.Input(network.input_shape[1:], name="frames")
    maps = [layers.Reshape((-1, each.shape[-1]))(each) for each in network(inputs)]
    parts = len(PARTS)
    strides = [
        layers.Concatenate(dtype="float32")(maps[first : first + parts])
        for first in range(0, len(maps), parts)
    ]
    trainer = keras.Model(inputs, layers.Concatenate(axis=1, dtype="float32")(strides))
    trainer.compile(
        optimizer_of(recipe.fit, steps), DetectionLoss(), metrics=[TaughtOverlap("overlap")]
    )
    return trainer


def detector_of(trainer: keras.Model, recipe: Recipe) -> keras.Model:
    """The float32 network inside a training model."""
    with policy("float32"):
        network = build_detector(recipe.model.options, (recipe.frames.width, recipe.frames.height))
    network.set_weights(trainer.get_layer(network.name).get_weights())
    return network
