"""Averaged weights (``fit.ema``), with batch norms that know them.

Keras averages what is trained. The batch norms' own means and variances go on following the last
weights, on images that are mixed and distorted; the averaged weights on plain images have others.
So they are taken anew wherever the average is used: before it is validated, and in the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from fer_edge.batch_norm import BATCH, batch_norms, estimate, moving
from fer_edge.data.dataset import Dataset
from fer_edge.train.devices import replicas
from fer_edge.train.heads import build_network
from fer_edge.train.precision import policy
from fer_edge.train.recipe import Recipe

IMAGES = 2048
"""Training images behind the statistics."""


def network_of(trainer: keras.Model, recipe: Recipe, classes: int) -> keras.Model:
    """The float32 network inside a training model: without augmentation and mixed precision."""
    with policy("float32"):
        network = build_network(recipe, classes)
    network.set_weights(trainer.get_layer(network.name).get_weights())
    return network


@dataclass(frozen=True)
class Statistics:
    """Where the batch norms of averaged weights take their statistics from.

    Attributes:
        network_of: the float32 network inside a training model.
        images: (N, rows, columns) uint8, of training and unchanged; the same every time, so that a
            run that was cut off ends with the same bits.
        batch: of how many images the statistics are taken together.
    """

    network_of: Callable[[keras.Model], keras.Model]
    images: np.ndarray
    batch: int = BATCH


def face_statistics(recipe: Recipe, training: Dataset) -> Statistics:
    """The statistics of a classifier's batch norms, on some of its training faces."""
    order = np.random.default_rng(recipe.fit.seed).permutation(len(training))
    # whole batches: a few images have statistics of their own
    count = min(len(order) // BATCH * BATCH or len(order), IMAGES)
    return Statistics(
        lambda trainer: network_of(trainer, recipe, len(training.labels)),
        training.faces[order[:count]],
    )


def use_average(trainer: keras.Model, statistics: Statistics) -> None:
    """Put the averaged weights of a training model in place of the last ones.

    Args:
        trainer: trained with ``fit.ema``.
        statistics: those that its batch norms then take.
    """
    trainer.optimizer.finalize_variable_values(trainer.trainable_variables)
    renew_batch_norms(trainer, statistics)


def renew_batch_norms(trainer: keras.Model, statistics: Statistics) -> None:
    """Give a training model's batch norms the statistics of some training images."""
    network = statistics.network_of(trainer)
    if not batch_norms(network):
        return
    own = trainer.get_layer(network.name)
    moments = estimate(network, statistics.images, statistics.batch)
    for name, values in moments.items():
        for variable, value in zip(moving(own.get_layer(name)), values, strict=True):
            for copy in replicas(variable):
                copy.assign(value.astype(np.float32))


class AveragedNorms(keras.callbacks.Callback):
    """Takes the statistics anew before each validation; stands behind ``SwapEMAWeights``."""

    def __init__(self, statistics: Statistics) -> None:
        super().__init__()
        self.statistics = statistics

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        renew_batch_norms(self.model, self.statistics)
