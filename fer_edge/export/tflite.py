"""Keras to TFLite: float32, and int8 throughout with uint8 pixels in and probabilities out."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from fer_edge.chatter import silenced_stderr
from fer_edge.errors import FerEdgeError


def to_float32(network: keras.Model) -> bytes:
    """Convert a network with batch size 1; returns the flatbuffer."""
    return _convert(_converter(network))


def to_int8(network: keras.Model, calibration: np.ndarray) -> bytes:
    """Quantize weights by channel and activations by tensor to int8, with ranges (min, max) seen.

    Args:
        network: float32, batch size 1.
        calibration: (M, 48, 48, 1) uint8 training images.

    Returns:
        The flatbuffer; its input and output are uint8, and it holds no float tensor.

    Raises:
        FerEdgeError: a layer has no int8 kernel.
    """
    content = _convert(_int8_converter(network, calibration))
    if left := float_tensors(content):
        raise FerEdgeError(
            f"{len(left)} tensors stayed in float after quantization, around "
            f"{', '.join(float_operators(content))}",
            "replace the layer that makes them by one that TFLite has an int8 kernel for",
        )
    return content


def layer_errors(network: keras.Model, calibration: np.ndarray) -> list[tuple[str, float]]:
    """Quantization error of every layer by TensorFlow's QuantizationDebugger, worst first.

    Returns:
        Pairs of the layer's output tensor and its root mean squared error as a multiple of the
        quantization step; 0.29 (1/√12) is what rounding alone costs.
    """
    import tensorflow as tf

    converter = _int8_converter(network, calibration)
    with silenced_stderr(), contextlib.redirect_stdout(io.StringIO()):
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=converter, debug_dataset=lambda: _samples(calibration[:32])
        )
        debugger.run()
        table = io.StringIO()
        debugger.layer_statistics_dump(table)
    header, *rows = [line.split(",") for line in table.getvalue().strip().splitlines()]
    columns = {name: header.index(name) - len(header) for name in ("mean_squared_error", "scale")}
    name = header.index("tensor_name")
    errors = []
    for row in rows:
        scale = float(row[columns["scale"]])
        error = float(row[columns["mean_squared_error"]])
        errors.append((row[name], error**0.5 / scale if scale else 0.0))
    return sorted(errors, key=lambda pair: -pair[1])


def float_tensors(content: bytes) -> list[str]:
    """Names of the tensors of a flatbuffer that hold floating-point values."""
    return [tensor["name"] for tensor in tensors(content) if "FLOAT" in tensor["type"]]


def float_operators(content: bytes) -> list[str]:
    """The kinds of operators that compute in floating point, conversions from and to it aside."""
    floats = set(float_tensors(content))
    found = {
        name: None
        for name, touched in _operators(content)
        if name not in ("QUANTIZE", "DEQUANTIZE") and floats & set(touched)
    }
    return list(found)


def tensors(content: bytes) -> list[dict[str, Any]]:
    """Every tensor of every subgraph of a flatbuffer: ``name``, ``type`` and ``shape``."""
    schema = _schema()
    types = {v: k for k, v in vars(schema.TensorType).items() if isinstance(v, int)}
    return [
        {
            "name": tensor.name.decode(),
            "type": types[tensor.type],
            "shape": [] if tensor.shape is None else [int(side) for side in tensor.shape],
        }
        for graph in schema.ModelT.InitFromPackedBuf(content, 0).subgraphs
        for tensor in graph.tensors
    ]


def operators(content: bytes) -> list[str]:
    """The operators of a flatbuffer in order, such as CONV_2D."""
    return [name for name, _ in _operators(content)]


def _operators(content: bytes) -> list[tuple[str, list[str]]]:
    """Each operator with the names of its input and output tensors."""
    schema = _schema()
    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    # files from before 2020 keep the code in the deprecated byte, newer ones in both
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    return [
        (
            names[codes[op.opcodeIndex]],
            # -1 stands for an input left out
            [graph.tensors[i].name.decode() for i in (*op.inputs, *op.outputs) if i >= 0],
        )
        for graph in model.subgraphs
        for op in graph.operators
    ]


def _schema() -> Any:
    with silenced_stderr():
        from tensorflow.lite.python import schema_py_generated
    return schema_py_generated


def _converter(network: keras.Model) -> Any:
    import tensorflow as tf

    return tf.lite.TFLiteConverter.from_keras_model(network)


def _int8_converter(network: keras.Model, calibration: np.ndarray) -> Any:
    import tensorflow as tf

    converter = _converter(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: _samples(calibration)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.uint8
    return converter


def _samples(images: np.ndarray) -> Iterator[list[np.ndarray]]:
    for image in images.astype(np.float32):
        yield [image[None]]


def _convert(converter: Any) -> bytes:
    try:
        with silenced_stderr(), contextlib.redirect_stdout(io.StringIO()):
            return bytes(converter.convert())
    # the converter's own error is not part of TensorFlow's interface and has no base but Exception
    except Exception as error:
        raise FerEdgeError(
            f"the TFLite converter refused the network: {_refusal(str(error))}",
            "replace the layer by one that TFLite has an int8 kernel for",
        ) from error


def _refusal(said: str) -> str:
    """The operators that a converter's report of many lines is about, else its first line."""
    if operations := dict.fromkeys(re.findall(r"'(tfl?\.\w+)' op", said)):
        return f"it has no kernel for {', '.join(operations)}"
    return next((line.strip() for line in said.splitlines() if line.strip()), "without a reason")
