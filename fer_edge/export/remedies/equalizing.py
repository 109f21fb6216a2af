"""Channels of one tensor brought to like ranges, exactly, before the tensor gets one int8 step.

Activations are quantized by tensor: a channel a hundred times smaller than the largest is left
with two of the 256 steps. ReLU, pooling and a shift by channel commute with a positive factor by
channel, so what a convolution gives in channel c can be divided by s, and the weights that read it
multiplied by s: the network computes the same. s balances the channel's range against the weights
that read it, as in SmoothQuant (arXiv 2211.10438).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

from fer_edge.export.remedies.folding import ChannelAffine, chain, is_relu


@dataclass(frozen=True)
class Strength:
    """How far channels are rescaled.

    Attributes:
        balance: α, in 0..1: 0 makes the weights alike, 1 the activations.
        largest: factor, either way.
    """

    balance: float
    largest: float

    def __str__(self) -> str:
        return f"α {self.balance:g}, at most {self.largest:g}-fold"


GENTLE = Strength(0.5, 16.0)
"""The default. Without a limit, a channel that hardly ever fires is scaled up so far that it fills
the tensor's range the first time it fires harder than any calibration image made it.

Measured on Triwijoyo et al.'s network during its training on FER2013, on 1,000 training images
outside the calibration set: agreement of the int8 TFLite with the float model after 8 epochs 98.4%
without equalizing, after 9 epochs 99.1% without and 99.5% with it.
"""

_WEIGHTED = (layers.Conv2D, layers.Dense, layers.DepthwiseConv2D)
_COMMUTING = (
    ChannelAffine,
    layers.AveragePooling2D,
    layers.Dropout,
    layers.Flatten,
    layers.GlobalAveragePooling2D,
    layers.MaxPooling2D,
)


def equalize(
    network: keras.Model, images: np.ndarray, strength: Strength | None = GENTLE
) -> keras.Model:
    """Rescale the channels between each pair of weighted layers of a network that is one chain.

    Args:
        network: with batch size 1, as ``fold_batch_norms`` gives it; unchanged.
        images: (M, 48, 48, 1) uint8, for the channels' ranges.
        strength: None leaves the network as it is.

    Returns:
        A network that computes the same function. One that branches comes back as it is.
    """
    if strength is None or chain(network) is None:
        return network
    result: keras.Model = keras.models.clone_model(network)
    result.set_weights(network.get_weights())
    steps = chain(result)
    assert steps is not None
    ranges = _ranges(result, steps, images)
    for writer, reader in _pairs(steps):
        between = steps[writer:reader]
        # a ReLU is fused into what it follows, which is never quantized by itself
        first = 1 if len(between) > 1 and is_relu(between[1]) else 0
        channels = steps[writer].output.shape[-1]
        seen = [ranges[step.name] for step in between[first:]]
        # behind a flatten there are no channels
        largest = np.maximum.reduce([each for each in seen if len(each) == channels])
        factor = _factor(largest, steps[reader], strength)
        _divide(between, factor)
        _multiply(steps[reader], factor)
    return result


def _pairs(steps: Sequence[layers.Layer]) -> Iterator[tuple[int, int]]:
    """Indices of a layer that weighs its output channels and of the next that weighs its inputs."""
    for writer, layer in enumerate(steps):
        if not _writes(layer):
            continue
        reader = writer + 1
        while reader < len(steps) and (is_relu(steps[reader]) or type(steps[reader]) in _COMMUTING):
            reader += 1
        if reader < len(steps) and type(steps[reader]) in _WEIGHTED:
            yield writer, reader


def _writes(layer: layers.Layer) -> bool:
    if isinstance(layer, layers.BatchNormalization):
        return layer.axis in (-1, 3) and layer.scale and layer.center
    linear = (keras.activations.linear, keras.activations.relu)
    return type(layer) in _WEIGHTED and layer.activation in linear


def _ranges(
    network: keras.Model, steps: Sequence[layers.Layer], images: np.ndarray
) -> dict[str, np.ndarray]:
    """The largest magnitude in each place of the last axis of a layer's output, by layer."""
    probe = keras.Model(network.inputs, [step.output for step in steps])
    largest = {step.name: np.zeros(step.output.shape[-1], np.float32) for step in steps}
    for image in images.astype(np.float32):
        for step, output in zip(steps, probe([image[None]], training=False), strict=True):
            seen = np.abs(np.asarray(output)).reshape(-1, output.shape[-1]).max(axis=0)
            largest[step.name] = np.maximum(largest[step.name], seen)
    return largest


def _factor(largest: np.ndarray, reader: layers.Layer, strength: Strength) -> np.ndarray:
    """By channel, with a geometric mean of 1 over the channels that ever answer."""
    weights = np.abs(np.asarray(reader.kernel))
    # (rows, columns, channels, outputs), or (positions · channels, units) behind a flatten
    read = weights.reshape(-1, len(largest), weights.shape[-1]).max(axis=(0, 2))
    alive = (largest > 0) & (read > 0)
    factor = np.ones_like(largest)
    if alive.any():
        balance = largest[alive] ** strength.balance / read[alive] ** (1 - strength.balance)
        factor[alive] = balance / np.exp(np.log(balance).mean())
    return np.clip(factor, 1 / strength.largest, strength.largest)


def _divide(between: Sequence[layers.Layer], factor: np.ndarray) -> None:
    writer, *rest = between
    if isinstance(writer, layers.BatchNormalization):
        # both are its first weights, in this order
        gamma, beta, *statistics = writer.get_weights()
        writer.set_weights([gamma / factor, beta / factor, *statistics])
    else:
        writer.set_weights([_by_output(weight, factor) for weight in writer.get_weights()])
    for step in rest:
        if isinstance(step, ChannelAffine) and step.shift is not None:
            step.shift = (np.asarray(step.shift, np.float32) / factor).tolist()


def _by_output(weight: np.ndarray, factor: np.ndarray) -> np.ndarray:
    # a depthwise kernel is (rows, columns, channels, multiplier): outputs are its last two axes
    divided: np.ndarray = weight.reshape(-1, len(factor)) / factor
    return divided.reshape(weight.shape)


def _multiply(reader: layers.Layer, factor: np.ndarray) -> None:
    kernel, *bias = reader.get_weights()
    by_channel = kernel.reshape(-1, len(factor), kernel.shape[-1]) * factor[:, None]
    reader.set_weights([by_channel.reshape(kernel.shape), *bias])
