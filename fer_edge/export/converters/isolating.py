"""One operator of a float flatbuffer made to compute as int8 would, everything else left alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fer_edge.export.converters import tflite_graph

WEIGHTED = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
"""Operators with weights, and the axis of the weights that is quantized by channel."""
SOFTMAX = "SOFTMAX"
"""The operator that answers; its output is what int8 rounds to 256 probabilities."""
_MOVING = ("RESHAPE", "MAX_POOL_2D", "PAD", "QUANTIZE", "DEQUANTIZE")
"""They pass on values that have been quantized already."""


@dataclass(frozen=True)
class Operator:
    """An operator whose output is quantized.

    Attributes:
        place: index in the flatbuffer.
        name: of its output tensor.
        kind: such as CONV_2D.
        low, high: the range of its output.
        spread: largest over smallest of the channels' largest weights, None without weights.
    """

    place: int
    name: str
    kind: str
    low: float
    high: float
    spread: float | None

    @property
    def layer(self) -> str:
        """What people call it: by its layer, the softmax by what it is."""
        return "softmax" if self.kind == SOFTMAX else tflite_graph.short_name(self.name)


def quantizable(ranged: bytes) -> list[Operator]:
    """The operators of a float flatbuffer with ranges that quantization changes, in order."""
    model = tflite_graph.read(ranged)
    (graph,) = model.subgraphs
    found = []
    for place, (kind, op) in enumerate(tflite_graph.operators(model, graph)):
        output = graph.tensors[op.outputs[0]]
        limits = output.quantization
        if kind in _MOVING or limits is None or limits.max is None:
            continue
        low, high = float(limits.min[0]), float(limits.max[0])
        found.append(
            Operator(place, output.name.decode(), kind, low, high, _spread(model, graph, kind, op))
        )
    return found


def kernel_of(ranged: bytes, operator: Operator) -> np.ndarray:
    """The weights of an operator that is one of ``WEIGHTED``."""
    model = tflite_graph.read(ranged)
    (graph,) = model.subgraphs
    weights = graph.tensors[graph.operators[operator.place].inputs[1]]
    return np.asarray(tflite_graph.constant(model, weights))


def isolated(ranged: bytes, operator: Operator) -> bytes:
    """Round the weights of one operator to int8 and pass its output through int8."""
    model = tflite_graph.read(ranged)
    (graph,) = model.subgraphs
    op = graph.operators[operator.place]
    if operator.kind in WEIGHTED:
        weights = graph.tensors[op.inputs[1]]
        rounded = _rounded(tflite_graph.constant(model, weights), WEIGHTED[operator.kind])
        tflite_graph.set_constant(model, weights, rounded)
    _through_int8(model, graph, operator)
    return tflite_graph.write(model)


def step_of(low: float, high: float) -> tuple[float, int]:
    """Scale and zero point of int8 over a range that holds 0."""
    scale = (high - low) / 255 or 1.0
    return scale, round(-128 - low / scale)


def _spread(model: Any, graph: Any, kind: str, op: Any) -> float | None:
    if kind not in WEIGHTED:
        return None
    weights = tflite_graph.constant(model, graph.tensors[op.inputs[1]])
    largest = _by_channel(weights, WEIGHTED[kind])
    alive = largest[largest > 0]
    return float(alive.max() / alive.min()) if len(alive) else None


def _by_channel(weights: Any, axis: int) -> np.ndarray:
    largest: np.ndarray = np.abs(np.moveaxis(weights, axis, 0)).reshape(weights.shape[axis], -1)
    return largest.max(axis=1)


def _rounded(weights: Any, axis: int) -> np.ndarray:
    shape = [1] * weights.ndim
    shape[axis] = -1
    scale = (_by_channel(weights, axis) / 127).reshape(shape)
    safe = np.where(scale > 0, scale, 1)
    return np.asarray(np.round(weights / safe) * safe, np.float32)


def _through_int8(model: Any, graph: Any, operator: Operator) -> None:
    """Insert QUANTIZE and DEQUANTIZE between an operator and whatever reads its output."""
    kinds = tflite_graph.schema()
    op = graph.operators[operator.place]
    scale, zero = step_of(operator.low, operator.high)
    output = graph.tensors[op.outputs[0]]
    exact, coarse = len(graph.tensors), len(graph.tensors) + 1
    for name, kind in (("exact", kinds.TensorType.FLOAT32), ("int8", kinds.TensorType.INT8)):
        added = kinds.TensorT()
        added.name, added.shape, added.type = f"{operator.name};{name}".encode(), output.shape, kind
        # buffer 0 is the empty one
        added.buffer = 0
        graph.tensors.append(added)
    graph.tensors[coarse].quantization = limits = kinds.QuantizationParametersT()
    limits.scale, limits.zeroPoint = [scale], [zero]
    inserted = []
    for kind, source, target in (
        (kinds.BuiltinOperator.QUANTIZE, exact, coarse),
        (kinds.BuiltinOperator.DEQUANTIZE, coarse, op.outputs[0]),
    ):
        code = kinds.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = kind
        model.operatorCodes.append(code)
        added = kinds.OperatorT()
        added.opcodeIndex, added.inputs, added.outputs = (
            len(model.operatorCodes) - 1,
            [source],
            [target],
        )
        inserted.append(added)
    op.outputs = [exact]
    graph.operators[operator.place + 1 : operator.place + 1] = inserted
