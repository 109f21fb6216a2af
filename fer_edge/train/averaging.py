"""Averaged weights (``fit.ema``), with batch norms that know them.

Keras averages what is trained. The batch norms' own means and variances go on following the last
weights, on images that are mixed and distorted; the averaged weights on plain images have others.
So they are taken anew wherever the average is used: before it is validated, and in the end.
"""

from __future__ import annotations

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


def use_average(trainer: keras.Model, recipe: Recipe, training: Dataset) -> None:
    """Put the averaged weights of a training model in place of the last ones.

    Args:
        trainer: trained with ``fit.ema``.
        recipe: that it was built by.
        training: the images that batch norms take their statistics from.
    """
    trainer.optimizer.finalize_variable_values(trainer.trainable_variables)
    renew_batch_norms(trainer, recipe, training)


def renew_batch_norms(trainer: keras.Model, recipe: Recipe, training: Dataset) -> None:
    """Give a training model's batch norms the statistics of some training images, unchanged ones.

    The images are the same every time, so that a run that was cut off ends with the same bits.
    """
    order = np.random.default_rng(recipe.fit.seed).permutation(len(training))
    # whole batches: a few images have statistics of their own
    count = min(len(order) // BATCH * BATCH or len(order), IMAGES)
    network = network_of(trainer, recipe, len(training.labels))
    if not batch_norms(network):
        return
    own = trainer.get_layer(network.name)
    for name, moments in estimate(network, training.faces[order[:count]]).items():
        for variable, value in zip(moving(own.get_layer(name)), moments, strict=True):
            for copy in replicas(variable):
                copy.assign(value.astype(np.float32))


class AveragedNorms(keras.callbacks.Callback):
    """Takes the statistics anew before each validation; stands behind ``SwapEMAWeights``."""

    def __init__(self, recipe: Recipe, training: Dataset) -> None:
        super().__init__()
        self.recipe, self.training = recipe, training

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        renew_batch_norms(self.model, self.recipe, self.training)
