"""Whether a TFLite file means something that an interpreter can compute, asked before one tries.

For models as ``fer-edge export`` makes them, and most others that classify pictures: one graph of
dense tensors of known sizes, without control flow, custom operators or state. The interpreters
check some of this themselves; over the rest they end the process or write where they must not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from fer_edge.runtime.flatbuffer import Table, read_model

MOST_ITEMS = 10_000
"""Tensors, operators, buffers: a model has a few hundred of each."""
MOST_BYTES = 64 << 20
"""Of one tensor; a face's largest activation in a wide network has under 2 MiB."""
MOST_MEMORY = 256 << 20
"""Bytes of all tensors together; an interpreter holds fewer at a time."""
MOST_WORK = 20_000_000_000
"""Multiplications of one inference; paper networks need under 1,000,000,000."""

# TensorType: bytes of an element, and the range of a quantized one's zero point
_TYPES = {0: 4, 1: 2, 2: 4, 3: 1, 4: 8, 6: 1, 7: 2, 9: 1}
_ZERO_POINTS = {2: (0, 0), 3: (0, 255), 4: (0, 0), 7: (0, 0), 9: (-128, 127)}
# beyond these, kernels end the process over a multiplier that they cannot hold
_SCALES = (1e-15, 1e9)
_FLOAT32, _FLOAT16, _INT8 = 0, 1, 9
# TensorTypes of what a layer reads and of its kernel; the last one rounds what it reads by itself
_LAYERS = {(0, 0), (3, 3), (9, 9), (7, 9), (_FLOAT32, _INT8)}
_DEQUANTIZABLE = (3, 7, _INT8)
_CUSTOM, _DEQUANTIZE = 32, 6
_CONV, _DEPTHWISE, _FULLY_CONNECTED = 3, 4, 9
_AVERAGE_POOL, _MAX_POOL = 1, 17
_POOLS = (_AVERAGE_POOL, _MAX_POOL)
# BuiltinOperator: the options that it must have, the fewest inputs that its kernel relies on
_NEEDS = {
    _CONV: ("Conv2D", 1, 2),
    _DEPTHWISE: ("DepthwiseConv2D", 2, 2),
    _FULLY_CONNECTED: ("FullyConnected", 8, 2),
    _AVERAGE_POOL: ("Pool2D", 5, 1),
    _MAX_POOL: ("Pool2D", 5, 1),
}


def check_tflite(content: bytes) -> None:
    """Check a ``.tflite`` file's structure, indices, sizes and the order of its operators.

    Raises:
        ValueError: with what is wrong, in a few words.
    """
    model = read_model(content)
    if model["version"] != 3:
        raise ValueError(f"its schema version is {model['version']}, not 3")
    if len(model["subgraphs"]) != 1:
        raise ValueError(f"it has {len(model['subgraphs'])} graphs, not 1")
    graph, buffers = model["subgraphs"][0], model["buffers"]
    for items in (graph["tensors"], graph["operators"], buffers, model["operator_codes"]):
        if len(items) > MOST_ITEMS:
            raise ValueError(f"it has {len(items)} tensors, operators or buffers")
    if any(buffer["offset"] or buffer["size"] for buffer in buffers):
        raise ValueError("some of its data lies outside of its buffers")
    if sum(_check_tensor(tensor, buffers) for tensor in graph["tensors"]) > MOST_MEMORY:
        raise ValueError(f"its tensors have over {MOST_MEMORY >> 20} MiB")
    _check_references(model)
    _check_order(graph, buffers)
    work = sum(
        _check_operator(operator, graph["tensors"], model["operator_codes"])
        for operator in graph["operators"]
    )
    if work > MOST_WORK:
        raise ValueError("an inference would take minutes")


def is_integer(content: bytes) -> bool:
    """Whether a checked ``.tflite`` file computes in integers throughout, its answers included."""
    (graph,) = read_model(content)["subgraphs"]
    return all(tensor["type"] not in (_FLOAT32, _FLOAT16) for tensor in graph["tensors"])


def _check_tensor(tensor: Table, buffers: list[Table]) -> int:
    """Check one tensor; returns its bytes."""
    shape, kind = tensor["shape"], tensor["type"]
    if kind not in _TYPES:
        raise ValueError(f"a tensor is of the unknown type {kind}")
    if len(shape) > 6 or (shape < 0).any():
        raise ValueError(f"a tensor has the shape {shape.tolist()}")
    size = math.prod(shape.tolist()) * _TYPES[kind]
    if size > MOST_BYTES:
        raise ValueError(f"a tensor has {size >> 20} MiB")
    if tensor["buffer"] >= len(buffers):
        raise ValueError("a tensor's buffer does not exist")
    held = len(buffers[tensor["buffer"]]["data"])
    if held not in (0, size):
        raise ValueError(f"a tensor of {size} bytes is given {held}")
    if tensor["is_variable"] or tensor["sparsity"] is not None or tensor["variant_tensors"]:
        raise ValueError("a tensor is variable or sparse")
    if tensor["external_buffer"]:
        raise ValueError("a tensor's data lies in another file")
    if tensor["quantization"] is not None:
        _check_quantization(tensor["quantization"], shape, kind)
    return size


def _check_quantization(quantization: Table, shape: np.ndarray, kind: int) -> None:
    scale, zero_point = quantization["scale"], quantization["zero_point"]
    if quantization["details_type"] or quantization["details"] is not None:
        raise ValueError("a tensor is quantized in an unknown way")
    if not len(scale) and not len(zero_point):
        return
    axis = quantization["quantized_dimension"]
    channels = int(shape[axis]) if 0 <= axis < len(shape) else 1
    if len(scale) not in (1, channels) or not 0 <= axis <= len(shape):
        raise ValueError("a tensor has a scale for channels that it does not have")
    if len(zero_point) != len(scale):
        raise ValueError("a tensor has not as many zero points as scales")
    if not ((scale >= _SCALES[0]) & (scale <= _SCALES[1])).all():
        raise ValueError("a tensor's scale is impossible")
    low, high = _ZERO_POINTS.get(kind, (0, 0))
    if ((zero_point < low) | (zero_point > high)).any():
        raise ValueError("a tensor's zero point is out of its type's range")


def _check_references(model: Table) -> None:
    """Indices of what no operator uses, but a runtime looks up."""
    tensors = len(model["subgraphs"][0]["tensors"])
    for signature in model["signature_defs"]:
        named = (*signature["inputs"], *signature["outputs"])
        if signature["subgraph_index"] or any(each["tensor_index"] >= tensors for each in named):
            raise ValueError("a signature names a tensor that does not exist")
        if signature["signature_key"] is None or any(each["name"] is None for each in named):
            raise ValueError("a signature has no name")
    for entry in model["metadata"]:
        if entry["buffer"] >= len(model["buffers"]) or entry["name"] is None:
            raise ValueError("its metadata lies nowhere")


def _check_order(graph: Table, buffers: list[Table]) -> None:
    """Every tensor is written once, by one operator, before it is read; constants never are."""
    tensors = graph["tensors"]
    inputs, outputs = ([int(index) for index in graph[end]] for end in ("inputs", "outputs"))
    if not all(0 <= index < len(tensors) for index in (*inputs, *outputs)):
        raise ValueError("the graph's input or output does not exist")
    constant = {index for index, each in enumerate(tensors) if len(buffers[each["buffer"]]["data"])}
    if constant & {*inputs, *outputs}:
        raise ValueError("the graph's input or output is a constant")
    known = {*constant, *inputs}
    # an empty tensor has no bytes to be written, so that nobody can say whether it is a constant
    known |= {index for index, each in enumerate(tensors) if 0 in each["shape"].tolist()}
    for operator in graph["operators"]:
        read = [int(index) for index in operator["inputs"]]
        written = [int(index) for index in operator["outputs"]]
        if not written or not all(-1 <= index < len(tensors) for index in read):
            raise ValueError("an operator reads a tensor that does not exist")
        if not all(0 <= index < len(tensors) for index in written):
            raise ValueError("an operator writes a tensor that does not exist")
        if not known >= {index for index in read if index >= 0}:
            raise ValueError("an operator reads a tensor that was not written yet")
        if known & set(written) or len(set(written)) < len(written):
            raise ValueError("a tensor is written twice, or is a constant")
        known |= set(written)
    if not known >= set(outputs):
        raise ValueError("the graph's output is never written")


def _check_operator(operator: Table, tensors: list[Table], codes: list[Table]) -> int:
    """Check what kernels take for granted; returns an operator's multiplications."""
    if operator["opcode_index"] >= len(codes):
        raise ValueError("an operator is of a kind that the file does not name")
    code = codes[operator["opcode_index"]]
    kind = max(code["builtin_code"], code["deprecated_builtin_code"])
    if kind == _CUSTOM or code["custom_code"] is not None or len(operator["custom_options"]):
        raise ValueError("it has a custom operator")
    if operator["large_custom_options_offset"] or operator["large_custom_options_size"]:
        raise ValueError("it has a custom operator")
    if operator["builtin_options_2_type"] or len(operator["intermediates"]):
        raise ValueError("an operator has options of an unknown kind")
    if len(operator["mutating_variable_inputs"]) > len(operator["inputs"]):
        raise ValueError("an operator changes an input that it does not have")
    if kind == _DEQUANTIZE:
        _check_dequantize(operator, tensors)
    if kind not in _NEEDS:
        return 0
    name, options_type, fewest = _NEEDS[kind]
    options = operator["builtin_options"]
    if operator["builtin_options_type"] != options_type or not options:
        raise ValueError(f"a {name} operator has no options of its own")
    if len(operator["inputs"]) < fewest or (operator["inputs"][:fewest] < 0).any():
        raise ValueError(f"a {name} operator lacks inputs")
    if not 0 <= options["activation"] <= 5:
        raise ValueError(f"a {name} operator has an unknown activation")
    _check_steps(name, options)
    if kind in _POOLS:
        return 0
    _check_kernel(name, operator, tensors)
    return _multiplications(kind, tensors, operator)


def _check_dequantize(operator: Table, tensors: list[Table]) -> None:
    """Float16 widened to float32, or integers given back their scale."""
    if len(operator["inputs"]) != 1 or len(operator["outputs"]) != 1 or operator["inputs"][0] < 0:
        raise ValueError("a Dequantize operator does not turn one tensor into one other")
    read, written = (tensors[int(operator[end][0])] for end in ("inputs", "outputs"))
    known = read["type"] == _FLOAT16 or (read["type"] in _DEQUANTIZABLE and _scales(read))
    if not known or written["type"] != _FLOAT32:
        raise ValueError("a Dequantize operator reads what has no scale, or does not give float32")
    if read["shape"].tolist() != written["shape"].tolist():
        raise ValueError("a Dequantize operator changes a shape")


def _check_kernel(name: str, operator: Table, tensors: list[Table]) -> None:
    read, kernel = (tensors[int(index)] for index in operator["inputs"][:2])
    types = (read["type"], kernel["type"])
    if types not in _LAYERS:
        raise ValueError(
            f"a {name} operator reads type {types[0]} with a kernel of type {types[1]}"
        )
    # kernels of this kind ignore a zero point
    if types == (_FLOAT32, _INT8) and (
        not _scales(kernel) or kernel["quantization"]["zero_point"].any()
    ):
        raise ValueError(f"a {name} operator's int8 kernel has no scale, or a zero point")


def _scales(tensor: Table) -> int:
    """How many scales a tensor has."""
    return 0 if tensor["quantization"] is None else len(tensor["quantization"]["scale"])


def _check_steps(name: str, options: dict[str, Any]) -> None:
    if not 0 <= options.get("padding", 0) <= 1:
        raise ValueError(f"a {name} operator has an unknown padding")
    for step in _present(options, ("stride_w", "stride_h", "dilation_w", "dilation_h")):
        if not 1 <= step <= 4096:
            raise ValueError(f"a {name} operator has a step of {step}")
    for side in _present(options, ("filter_w", "filter_h")):
        if not 1 <= side <= 4096:
            raise ValueError(f"a {name} operator looks at {side} pixels")


def _present(options: dict[str, Any], names: Iterable[str]) -> list[int]:
    return [options[name] for name in names if name in options]


def _multiplications(kind: int, tensors: list[Table], operator: Table) -> int:
    kernel = tensors[int(operator["inputs"][1])]["shape"].tolist()
    written = tensors[int(operator["outputs"][0])]["shape"].tolist()
    if kind == _FULLY_CONNECTED:
        return math.prod(kernel) * math.prod(written[:-1])
    if len(kernel) != 4:
        raise ValueError(f"a convolution's kernel has the shape {kernel}")
    reach = kernel[1] * kernel[2] * (kernel[3] if kind == _CONV else 1)
    return math.prod(written) * reach
