"""Batch norm in one kernel: Keras passes over a batch several times, TensorFlow's kernel once.

A training step of the package's own networks takes 22% to 30% less processor time with it in
bfloat16 (``train/LOG.md``). JAX compiles Keras's own operations into as few passes by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras import layers

from fer_edge.train.devices import batch_norms_of


class _Fused(layers.BatchNormalization):
    """The layer as it is, but where it trains on pictures and on one device."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        usual = self.axis in (-1, 3) and self.scale and self.center
        if not (training and self.trainable and usual and len(inputs.shape) == 4):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        result, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, self.gamma.value, self.beta.value, epsilon=self.epsilon, is_training=True
        )
        # the kernel's variance is the sample's, Keras averages the batch's own
        count = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
        variance *= (count - 1) / count
        for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + now * (1 - self.momentum))
        return result


@contextmanager
def fused_batch_norms(model: keras.Model) -> Iterator[None]:
    """Inside, a model's batch norms train by TensorFlow's kernel; elsewhere nothing changes.

    Those that several devices share keep Keras's operations, which know of the other devices.
    """
    with _as(model, layers.BatchNormalization, _Fused):
        yield


@contextmanager
def unfused(model: keras.Model) -> Iterator[None]:
    """Inside ``fused_batch_norms``: the layers are Keras's own again, as a file is to hold them."""
    with _as(model, _Fused, layers.BatchNormalization):
        yield


@contextmanager
def _as(model: keras.Model, before: type, after: type) -> Iterator[None]:
    """The same layers, weights and all, under another class."""
    tensorflow = keras.config.backend() == "tensorflow"
    alone = [layer for layer in batch_norms_of(model) if tensorflow and not layer.synchronized]
    changed = [layer for layer in alone if type(layer) is before]
    for layer in changed:
        layer.__class__ = after
    try:
        yield
    finally:
        for layer in changed:
            layer.__class__ = before
