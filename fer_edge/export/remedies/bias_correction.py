"""Biases of an int8 file moved by what rounding shifted each channel's mean (arXiv 1906.04721).

Rounded weights do not err evenly: over many images a channel comes out a little too high or too
low, and the layers behind it add that up. The mean difference from the float network's channel is
taken off its bias, layer by layer, each layer seeing what those before it give once corrected.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fer_edge.export.converters import tflite_graph
from fer_edge.export.converters.isolating import WEIGHTED
from fer_edge.export.remedies.ranges import visible_logits

IMAGES = 64
"""Of the calibration images; a mean needs few."""
LEAST_ACTIVE = 0.05
"""A ReLU hides the values that it cuts off. The difference seen behind one that is fused into the
layer is divided by the share of values that pass, and where hardly any pass it tells nothing."""
_RELUS = ("RELU", "RELU6", "RELU_N1_TO_1")


def correct_biases(int8: bytes, exact: bytes, images: np.ndarray) -> bytes:
    """Correct the biases of an int8 flatbuffer.

    Args:
        int8: quantized from the same network.
        exact: its float flatbuffer, whose tensors have the same names.
        images: (M, 48, 48, 1) uint8 of calibration; the first ``IMAGES`` are used.

    Returns:
        The flatbuffer with other biases and nothing else changed.
    """
    images = images[:IMAGES]
    places = _biased(int8)
    wanted = _means(exact, images, [name for name, *_ in places])
    logits = _logits(exact)
    for name, place, cut in places:
        if name not in wanted:
            continue
        if name in logits:
            shift = _logit_shift(*(_values(each, images, name) for each in (exact, int8)))
        else:
            shift = _shift(wanted[name], _means(int8, images, [name])[name], cut)
        int8 = _moved(int8, place, shift)
    return int8


Means = tuple[np.ndarray, np.ndarray]
"""By channel: the mean, and the share of values other than zero."""


def _biased(int8: bytes) -> list[tuple[str, int, bool]]:
    """Operators with an int32 bias: their output's name, their place, and if a ReLU is fused."""
    model = tflite_graph.read(int8)
    (graph,) = model.subgraphs
    schema = tflite_graph.schema()
    int32 = schema.TensorType.INT32
    relus = [getattr(schema.ActivationFunctionType, name) for name in _RELUS]
    return [
        (
            graph.tensors[op.outputs[0]].name.decode(),
            place,
            op.builtinOptions.fusedActivationFunction in relus,
        )
        for place, (kind, op) in enumerate(tflite_graph.operators(model, graph))
        if kind in WEIGHTED
        and len(op.inputs) == 3
        and op.inputs[2] >= 0
        and graph.tensors[op.inputs[2]].type == int32
    ]


def _means(content: bytes, images: np.ndarray, names: list[str]) -> dict[str, Means]:
    (graph,) = tflite_graph.read(content).subgraphs
    found = {
        index: tensor for index, tensor in enumerate(graph.tensors) if tensor.name.decode() in names
    }
    sums: dict[str, Any] = {}
    for values in tflite_graph.run(content, images, list(found)):
        for index, value in values.items():
            real = _real(value, found[index].quantization).reshape(-1, value.shape[-1])
            seen = np.stack([real.mean(axis=0), (real != 0).mean(axis=0)])
            name = found[index].name.decode()
            sums[name] = sums.get(name, 0) + seen / len(images)
    return {name: (mean, active) for name, (mean, active) in sums.items()}


def _logits(content: bytes) -> set[str]:
    model = tflite_graph.read(content)
    (graph,) = model.subgraphs
    return {graph.tensors[index].name.decode() for index in tflite_graph.logits(model, graph)}


def _values(content: bytes, images: np.ndarray, name: str) -> np.ndarray:
    """(M, C), what a tensor holds for each image."""
    (graph,) = tflite_graph.read(content).subgraphs
    (index,) = [i for i, tensor in enumerate(graph.tensors) if tensor.name.decode() == name]
    limits = graph.tensors[index].quantization
    return np.concatenate(
        [_real(values[index], limits) for values in tflite_graph.run(content, images, [index])]
    )


def _logit_shift(wanted: np.ndarray, given: np.ndarray) -> np.ndarray:
    """By class, over the images that show it in both: the rest is clipped by the logits' range."""
    shown = (visible_logits(wanted) == wanted) & (visible_logits(given) == given)
    told = shown.mean(axis=0) >= LEAST_ACTIVE
    total = np.where(shown, wanted - given, 0).sum(axis=0)
    return np.where(told, total / np.maximum(shown.sum(axis=0), 1), 0)


def _real(values: np.ndarray, limits: Any) -> np.ndarray:
    if values.dtype == np.float32:
        return values
    real: np.ndarray = (values.astype(np.float32) - limits.zeroPoint[0]) * limits.scale[0]
    return real


def _shift(wanted: Means, given: Means, cut: bool) -> np.ndarray:
    """To add to the bias, by channel; ``cut``: the values are those behind a ReLU."""
    if not cut:
        return wanted[0] - given[0]
    active = np.minimum(wanted[1], given[1])
    told = active >= LEAST_ACTIVE
    return np.where(told, (wanted[0] - given[0]) / np.maximum(active, LEAST_ACTIVE), 0)


def _moved(int8: bytes, place: int, shift: np.ndarray) -> bytes:
    model = tflite_graph.read(int8)
    (graph,) = model.subgraphs
    bias = graph.tensors[graph.operators[place].inputs[2]]
    values = tflite_graph.constant(model, bias)
    assert values is not None
    steps = np.round(shift / np.asarray(bias.quantization.scale, np.float64))
    limits = np.iinfo(np.int32)
    moved = np.clip(values.astype(np.int64) + steps.astype(np.int64), limits.min, limits.max)
    tflite_graph.set_constant(model, bias, moved.astype(np.int32))
    return tflite_graph.write(model)
