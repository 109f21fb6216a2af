"""Batch norm folded exactly where the converters leave it: behind the ReLU of a layer.

Conv → BN → ReLU and dense → BN are folded by the TFLite converter itself. Conv → ReLU → BN, the
order of Triwijoyo et al.'s table, leaves a MUL and an ADD on the network's largest tensors, and
their quantization costs accuracy. With s the scale and t the shift of a channel: where s > 0,
s·relu(u) = relu(s·u), so the scale moves into the convolution; max(x + t) = max(x) + t, so the
shift moves behind the pool, and through a flatten into a dense layer's bias. It cannot move into a
convolution with 'same' padding: its border of zeros would have to be shifted as well. A channel
with s <= 0 keeps its scale where it is, unless a dense layer can take it before any pool. Dense →
ReLU → BN, Kusno and Chowanda's order, is the same without the pool.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import layers


@keras.saving.register_keras_serializable(package="fer_edge")
class ChannelAffine(layers.Layer):
    """What is left of a batch norm: ``x * scale + shift`` by channel, either of them optional."""

    def __init__(
        self, scale: list[float] | None = None, shift: list[float] | None = None, **named: Any
    ) -> None:
        super().__init__(**named)
        self.scale, self.shift = scale, shift

    def call(self, inputs: Any) -> Any:
        if self.scale is not None:
            inputs = inputs * keras.ops.convert_to_tensor(self.scale, inputs.dtype)
        if self.shift is not None:
            inputs = inputs + keras.ops.convert_to_tensor(self.shift, inputs.dtype)
        return inputs

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale, "shift": self.shift}


@dataclass
class _Step:
    """One layer of the folded network and the weights it will get."""

    layer: layers.Layer
    weights: list[np.ndarray] = field(default_factory=list)


def fold_batch_norms(network: keras.Model) -> tuple[keras.Model, int]:
    """Rewrite every conv or dense → ReLU → BN of a network that is one chain of layers.

    Args:
        network: float32, from (N, 48, 48, 1) pixels to (N, classes) probabilities; unchanged.

    Returns:
        A network that computes the same function with inputs of batch size 1, and the number of
        batch norms folded. A network that branches comes back as it is, with batch size 1.
    """
    found = chain(network)
    if found is None:
        return _with_batch_of_one(network), 0
    steps: list[_Step] = []
    folded = 0
    for layer in found:
        relu = _behind_relu(steps)
        # a batch norm over another axis than the channels is left alone
        if isinstance(layer, layers.BatchNormalization) and layer.axis in (-1, 3) and relu:
            steps += _fold(layer, relu)
            folded += 1
        else:
            steps.append(_Step(type(layer).from_config(layer.get_config()), layer.get_weights()))
    return _build(network, _move_forward(steps)), folded


def absorb_batch_norms(network: keras.Model) -> keras.Model:
    """Fold every batch norm that stands right behind a convolution or a dense layer.

    The converter does this by itself; training with rounded weights needs the same weights.

    Args:
        network: one chain, as ``fold_batch_norms`` gives it; unchanged.

    Returns:
        A network that computes the same function.
    """
    found = chain(network)
    assert found is not None
    steps: list[_Step] = []
    for layer in found:
        if isinstance(layer, layers.BatchNormalization) and steps and _is_linear(steps[-1].layer):
            _absorb(layer, steps[-1])
        else:
            steps.append(_Step(type(layer).from_config(layer.get_config()), layer.get_weights()))
    return _build(network, steps)


def chain(network: keras.Model) -> list[layers.Layer] | None:
    """The layers behind the input in order, or None when the network branches."""
    inner = [layer for layer in network.layers if not isinstance(layer, layers.InputLayer)]
    tensor = network.inputs[0]
    for layer in inner:
        if len(layer._inbound_nodes) != 1 or layer.input is not tensor:
            return None
        tensor = layer.output
    return inner if tensor is network.outputs[0] else None


def _with_batch_of_one(network: keras.Model) -> keras.Model:
    inputs = keras.Input(batch_shape=(1, *network.input_shape[1:]), name=network.inputs[0].name)
    return keras.Model(inputs, network(inputs), name=network.name)


def _behind_relu(steps: list[_Step]) -> _Step | None:
    """The convolution or dense layer whose ReLU the chain so far ends with."""
    if len(steps) >= 2 and is_relu(steps[-1].layer) and _is_weighted(steps[-2].layer, "linear"):
        return steps[-2]
    if steps and _is_weighted(steps[-1].layer, "relu"):
        return steps[-1]
    return None


def is_relu(layer: layers.Layer) -> bool:
    if isinstance(layer, layers.Activation):
        return layer.activation is keras.activations.relu
    # a ceiling, a slope or a threshold does not scale with its input
    return isinstance(layer, layers.ReLU) and (
        layer.max_value is None and not layer.negative_slope and not layer.threshold
    )


def _is_weighted(layer: layers.Layer, activation: str) -> bool:
    # exactly: a subclass may do something else with its kernel
    return type(layer) in (layers.Conv2D, layers.Dense) and (
        layer.activation is keras.activations.get(activation)
    )


def _fold(norm: layers.BatchNormalization, before: _Step) -> list[_Step]:
    """Move the positive scales into the layer before; return what stays behind its ReLU."""
    scale, shift = _affine(norm)
    positive = scale > 0
    moved = np.where(positive, scale, 1).astype(np.float32)
    before.weights = [weight * moved for weight in before.weights]
    left: list[_Step] = []
    if not positive.all():
        kept = np.where(positive, 1, scale).astype(np.float32)
        left.append(_Step(ChannelAffine(scale=kept.tolist(), name=f"{norm.name}_scale")))
    left.append(_Step(ChannelAffine(shift=shift.tolist(), name=f"{norm.name}_shift")))
    return left


def _is_linear(layer: layers.Layer) -> bool:
    kinds = (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)
    return type(layer) in kinds and layer.activation is keras.activations.linear


def _absorb(norm: layers.BatchNormalization, step: _Step) -> None:
    """Scale a layer's kernel by output channel and give it a bias."""
    scale, shift = _affine(norm)
    kernel, *bias = step.weights
    # a depthwise one is (rows, columns, channels, multiplier): outputs are its last two axes
    outputs = kernel.shape[-2:] if type(step.layer) is layers.DepthwiseConv2D else (-1,)
    moved = shift + (bias[0] * scale if bias else 0)
    step.layer = type(step.layer).from_config({**step.layer.get_config(), "use_bias": True})
    step.weights = [kernel * scale.reshape(outputs), moved]


def _affine(norm: layers.BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    """Inference-time scale and shift by channel, float32."""
    named = {w.name: keras.ops.convert_to_numpy(w).astype(np.float64) for w in norm.weights}
    deviation = np.sqrt(named["moving_variance"] + norm.epsilon)
    scale = named.get("gamma", 1.0) / deviation
    shift = named.get("beta", 0.0) - named["moving_mean"] * scale
    return scale.astype(np.float32), shift.astype(np.float32)


def _move_forward(steps: list[_Step]) -> list[_Step]:
    """Carry what is left of each norm past the layers it commutes with, into a dense layer if it
    can."""
    steps = list(steps)
    # the last one first: a shift is out of the way before the scale that stands in front of it
    for index in range(len(steps) - 1, -1, -1):
        layer = steps[index].layer
        if not isinstance(layer, ChannelAffine):
            continue
        moved = steps.pop(index)
        averages = (layers.AveragePooling2D, layers.GlobalAveragePooling2D)
        # the largest of negated values is another one
        pools = averages if layer.scale is not None else (layers.MaxPooling2D, *averages)
        place = index
        while place < len(steps):
            following = steps[place]
            if isinstance(following.layer, layers.Dense) and following.layer.use_bias:
                _into_dense(layer, following)
                break
            unpadded = getattr(following.layer, "padding", "valid") == "valid"
            passable = isinstance(following.layer, pools) and unpadded
            if not passable and not isinstance(following.layer, layers.Flatten | layers.Dropout):
                # a scale gains nothing by standing elsewhere
                place = _back_before_flatten(steps, index, place) if layer.shift else index
                steps.insert(place, moved)
                break
            place += 1
    return steps


def _into_dense(affine: ChannelAffine, dense: _Step) -> None:
    kernel, bias = dense.weights
    if affine.shift is not None:
        bias = bias + _repeated(affine.shift, len(kernel)) @ kernel
    if affine.scale is not None:
        kernel = kernel * _repeated(affine.scale, len(kernel))[:, None]
    dense.weights = [kernel, bias]


def _repeated(by_channel: list[float], size: int) -> np.ndarray:
    """As a flattened image has them: channels vary fastest."""
    return np.tile(np.asarray(by_channel, np.float32), size // len(by_channel))


def _back_before_flatten(steps: list[_Step], start: int, place: int) -> int:
    """A shift by channel has no place behind a flatten that no dense layer follows."""
    for position in range(start, place):
        if isinstance(steps[position].layer, layers.Flatten):
            return position
    return place


def _build(network: keras.Model, steps: list[_Step]) -> keras.Model:
    x = inputs = keras.Input(batch_shape=(1, *network.input_shape[1:]), name="face")
    for step in steps:
        x = step.layer(x)
    model = keras.Model(inputs, x, name=network.name)
    for step in steps:
        if step.weights:
            step.layer.set_weights(step.weights)
    return model
