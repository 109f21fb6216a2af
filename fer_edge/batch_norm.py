"""Batch norms' statistics, taken anew from training images under the weights that are there.

Precise batch norm (Wu and Johnson, 2021, arXiv:2105.07576): the weights stay, and the statistics of
many batches, all under these weights and of equal weight, give those of the images. Moving averages
go back to weights that are no more, and where the weights themselves are an average, to weights
that never were used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import layers

BATCH = 128
"""Images whose statistics are taken together."""

Moments = dict[str, tuple[np.ndarray, np.ndarray]]
"""Mean and variance by channel, float64, by batch norm."""


def estimate(network: keras.Model, images: np.ndarray, batch: int = BATCH) -> Moments:
    """Statistics of every batch norm over (N, rows, columns) uint8 images, whole batches of them.

    While they are taken, each layer sees what it saw in training: activations that the layers
    before it normalized by the same batch.
    """
    probe = by_batch(network)
    norms = [layer for layer in probe.layers if isinstance(layer, _ByBatch)]
    sums: dict[str, list[np.ndarray]] = {}
    batches = 0
    for _ in answers(probe, images, batch):
        batches += 1
        for norm in norms:
            mean, variance = (np.asarray(each, np.float64) for each in moving(norm))
            seen = sums.setdefault(norm.name, [np.zeros_like(mean), np.zeros_like(mean)])
            seen[0] += mean
            seen[1] += variance + mean**2
    # the variance of all: within the batches and between them
    return {
        name: (mean / batches, square / batches - (mean / batches) ** 2)
        for name, (mean, square) in sums.items()
    }


class _ByBatch(layers.BatchNormalization):
    """Goes by the batch at hand in inference as well; its moving averages are that batch's."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        return super().call(inputs, training=True, mask=mask)


def batch_norms(network: keras.Model) -> list[layers.BatchNormalization]:
    """Those that go by the batch in training; a frozen one never does."""
    found = (layer for layer in network.layers if isinstance(layer, layers.BatchNormalization))
    return [layer for layer in found if layer.trainable]


def by_batch(network: keras.Model) -> keras.Model:
    """A copy whose batch norms go by the batch; dropout and the like stay as in inference."""
    norms = {layer.name for layer in batch_norms(network)}

    def copied(layer: layers.Layer) -> layers.Layer:
        config = layer.get_config()
        if layer.name not in norms:
            return type(layer).from_config(config)
        return _ByBatch.from_config({**config, "momentum": 0.0})

    probe: keras.Model = keras.models.clone_model(network, clone_function=copied)
    probe.set_weights(network.get_weights())
    return probe


def with_moments(network: keras.Model, moments: Moments) -> keras.Model:
    """A copy with these statistics."""
    renewed: keras.Model = keras.models.clone_model(network)
    renewed.set_weights(network.get_weights())
    for name, values in moments.items():
        for variable, value in zip(moving(renewed.get_layer(name)), values, strict=True):
            variable.assign(value.astype(np.float32))
    return renewed


def moving(norm: layers.BatchNormalization) -> tuple[Any, Any]:
    """The variables of its mean and variance."""
    return norm.moving_mean, norm.moving_variance


def answers(network: keras.Model, images: np.ndarray, batch: int = BATCH) -> Iterator[Any]:
    """What it says of (N, rows, columns) uint8 images, by batches: its outputs, as arrays."""
    for start in range(0, len(images), batch):
        part = images[start : start + batch, ..., None].astype(np.float32)
        yield keras.tree.map_structure(keras.ops.convert_to_numpy, network(part, training=False))
