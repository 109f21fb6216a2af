"""A TFLite file as a Keras network that can be trained on: how a bundle becomes a beginning.

int8 weights are given back their scales, so that the network begins where the int8 model stands, a
few tenths of a point from the float one that it was made from. Activations are float again. So a
bundle of 100 kB is all that fine-tuning needs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

from fer_edge.errors import FerEdgeError
from fer_edge.runtime.flatbuffer import Table, read_model
from fer_edge.runtime.tflite_check import check_tflite

_TYPES: dict[int, str] = {0: "<f4", 2: "<i4", 9: "i1"}
"""TensorTypes of weights."""
_ACTIVATIONS = {0: (), 1: (layers.ReLU,), 3: (lambda **named: layers.ReLU(6.0, **named),)}
"""By TFLite's number: none, ReLU, ReLU6."""
_PADDINGS = ("same", "valid")


def network_from_tflite(content: bytes, name: str) -> keras.Model:
    """Build the network of a TFLite file, float32.

    Args:
        content: a file as ``fer-edge export`` makes it, int8 or float32: one chain of convolutions,
            pools, dense layers and a softmax.
        name: for the network.

    Returns:
        A model from (N, 48, 48, 1) pixels in 0..255 to (N, classes) probabilities.

    Raises:
        FerEdgeError: the file is damaged, branches, or has an operator that is none of these.
    """
    try:
        check_tflite(content)
        model = read_model(content)
    except ValueError as error:
        raise FerEdgeError(f"cannot read the model of {name}: {error}", "copy it again") from error
    graph = model["subgraphs"][0]
    weights: list[np.ndarray] = []
    x = inputs = keras.Input(graph["tensors"][int(graph["inputs"][0])]["shape"].tolist()[1:])
    at = int(graph["inputs"][0])
    for number, operator in enumerate(graph["operators"]):
        found = _layers(model, operator, at, f"layer{number}")
        if found is None:
            raise FerEdgeError(
                f"{name} is no chain of convolutions and dense layers that could be trained on",
                "train from the run folder that it was exported from",
            )
        steps, added = found
        for step in steps:
            x = step(x)
        weights += added
        at = int(operator["outputs"][0])
    network = keras.Model(inputs, x, name="pretrained")
    network.set_weights(weights)
    return network


Layers = tuple[list[Any], list[np.ndarray]]
"""What stands for an operator, and its weights."""


def _layers(model: Table, operator: Table, at: int, name: str) -> Layers | None:
    """Of an operator that goes on from the tensor ``at``; None where it cannot be had."""
    code = model["operator_codes"][operator["opcode_index"]]
    kind = max(code["builtin_code"], code["deprecated_builtin_code"])
    options = operator["builtin_options"] or {}
    first, *others = (int(index) for index in operator["inputs"] if index >= 0)
    given = [_constant(model, index) for index in others]
    constants = [each for each in given if each is not None]
    if kind not in _LAYERS or options.get("activation", 0) not in _ACTIVATIONS:
        return None
    if first != at or len(constants) < len(given):
        return None
    if kind in _SCALARS and [each.size for each in constants] != [1]:
        return None
    return _LAYERS[kind](options, constants, name)


def _constant(model: Table, index: int) -> np.ndarray | None:
    """A tensor's stored values, float32: integers times their scale. None where it has none."""
    tensor = model["subgraphs"][0]["tensors"][index]
    data = model["buffers"][tensor["buffer"]]["data"]
    if not len(data) or tensor["type"] not in _TYPES:
        return None
    stored: np.ndarray = np.asarray(data).view(_TYPES[tensor["type"]])
    values = stored.reshape(tensor["shape"]).astype(np.float32)
    quantization = tensor["quantization"]
    if quantization is None or not len(quantization["scale"]):
        return values
    scale, zero = quantization["scale"], quantization["zero_point"]
    if values.ndim:
        axes = [1] * values.ndim
        axes[quantization["quantized_dimension"] if len(scale) > 1 else 0] = len(scale)
        scale, zero = scale.reshape(axes), zero.reshape(axes)
    return np.asarray((values - zero) * scale, np.float32).reshape(tensor["shape"])


def _convolution(options: Table, constants: list[np.ndarray], name: str) -> Layers:
    kernel, bias = _with_bias(constants, axis=0)
    layer = layers.Conv2D(len(kernel), kernel.shape[1:3], **_window(options), name=name)
    return [layer, *_activation(options, name)], [kernel.transpose(1, 2, 3, 0), bias]


def _depthwise(options: Table, constants: list[np.ndarray], name: str) -> Layers:
    kernel, bias = _with_bias(constants, axis=3)
    layer = layers.DepthwiseConv2D(kernel.shape[1:3], **_window(options), name=name)
    return [layer, *_activation(options, name)], [kernel.transpose(1, 2, 3, 0), bias]


def _dense(options: Table, constants: list[np.ndarray], name: str) -> Layers:
    kernel, bias = _with_bias(constants, axis=0)
    activation = _activation(options, name)
    # the last one, whose answers the softmax takes, is found by its name
    layer = layers.Dense(len(kernel), name=name if activation else "logits")
    return [layer, *activation], [kernel.T, bias]


def _pool(kind: type[layers.Layer]) -> Callable[[Table, list[np.ndarray], str], Layers]:
    def build(options: Table, constants: list[np.ndarray], name: str) -> Layers:
        size = (options["filter_h"], options["filter_w"])
        layer = kind(size, **_window(options), name=name)
        return [layer, *_activation(options, name)], []

    return build


def _mean(options: Table, constants: list[np.ndarray], name: str) -> Layers:
    return [layers.GlobalAveragePooling2D(name=name)], []


def _flatten(options: Table, constants: list[np.ndarray], name: str) -> Layers:
    return [layers.Flatten(name=name)], []


def _softmax(options: Table, constants: list[np.ndarray], name: str) -> Layers:
    return [layers.Softmax(dtype="float32", name="probabilities")], []


def _scaling(options: Table, constants: list[np.ndarray], name: str) -> Layers:
    return [layers.Rescaling(constants[0].item(), name=name)], []


def _shift(options: Table, constants: list[np.ndarray], name: str) -> Layers:
    return [layers.Rescaling(1.0, constants[0].item(), name=name)], []


def _nothing(options: Table, constants: list[np.ndarray], name: str) -> Layers:
    return [], []


_LAYERS: dict[int, Callable[[Table, list[np.ndarray], str], Layers]] = {
    0: _shift,
    1: _pool(layers.AveragePooling2D),
    3: _convolution,
    4: _depthwise,
    6: _nothing,
    9: _dense,
    17: _pool(layers.MaxPooling2D),
    18: _scaling,
    22: _flatten,
    25: _softmax,
    40: _mean,
    114: _nothing,
}
"""By BuiltinOperator; 6 and 114 go from int8 to float and back."""


def _with_bias(constants: list[np.ndarray], axis: int) -> tuple[np.ndarray, np.ndarray]:
    kernel, *rest = constants
    return kernel, rest[0] if rest else np.zeros(kernel.shape[axis], np.float32)


_SCALARS = (0, 18)
"""ADD and MUL, of the scaling of pixels, whose numbers are single ones."""


def _window(options: Table) -> dict[str, Any]:
    strides = (options["stride_h"], options["stride_w"])
    return {"strides": strides, "padding": _PADDINGS[options["padding"]]}


def _activation(options: Table, name: str) -> list[layers.Layer]:
    return [build(name=f"{name}_relu") for build in _ACTIVATIONS[options["activation"]]]
