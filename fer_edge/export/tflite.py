"""Keras to TFLite: float32, and int8 throughout with uint8 pixels in and probabilities out."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from fer_edge.chatter import silenced_stderr
from fer_edge.errors import FerEdgeError
from fer_edge.export.calibration import COVERAGE, Ranges

DEBUG_IMAGES = 32
"""Calibration images behind ``layer_errors``."""


def to_float32(network: keras.Model) -> bytes:
    """Convert a network with batch size 1; returns the flatbuffer."""
    return _convert(_converter(network))


def to_int8(network: keras.Model, calibration: np.ndarray, coverage: float = COVERAGE) -> bytes:
    """Quantize weights by channel and activations by tensor to int8.

    Args:
        network: float32, batch size 1.
        calibration: (M, 48, 48, 1) uint8 training images.
        coverage: share of a tensor's values that its range covers at either end.

    Returns:
        The flatbuffer; its input and output are uint8, and it holds no float tensor.

    Raises:
        FerEdgeError: a layer has no int8 kernel.
    """
    import tensorflow as tf

    content = _quantized(
        _with_ranges(network, calibration, coverage),
        input_data_type=tf.uint8,
        output_data_type=tf.uint8,
    )
    if left := float_tensors(content):
        raise FerEdgeError(
            f"{len(left)} tensors stayed in float after quantization, around "
            f"{', '.join(float_operators(content))}",
            "replace the layer that makes them by one that TFLite has an int8 kernel for",
        )
    return content


def layer_errors(network: keras.Model, calibration: np.ndarray) -> list[tuple[str, float]]:
    """Quantization noise of every layer by TensorFlow's QuantizationDebugger, worst first.

    Returns:
        Pairs of the layer's output tensor and its signal-to-noise ratio in dB, each layer given
        undisturbed inputs.
    """
    import tensorflow as tf

    debugging = tf.lite.experimental
    content = _quantized(_with_ranges(network, calibration, COVERAGE), enable_numeric_verify=True)
    with _quiet():
        debugger = debugging.QuantizationDebugger(
            quant_debug_model_content=content,
            debug_dataset=lambda: _samples(calibration[:DEBUG_IMAGES]),
            debug_options=debugging.QuantizationDebugOptions(
                layer_direct_compare_metrics={"decibels": _signal_to_noise}
            ),
        )
        debugger.run()
        table = io.StringIO()
        debugger.layer_statistics_dump(table)
    rows = csv.DictReader(table.getvalue().splitlines())
    errors = [(row["tensor_name"], float(row["decibels"])) for row in rows]
    return sorted(errors, key=lambda pair: pair[1])


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


def _with_ranges(network: keras.Model, calibration: np.ndarray, coverage: float) -> bytes:
    """The flatbuffer between calibration and quantization: float, with a range for each tensor."""
    import tensorflow as tf

    converter = _converter(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    # one image shows which tensors have a range; the ranges are ours
    converter.representative_dataset = lambda: _samples(calibration[:1])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    # TensorFlow's QuantizationDebugger takes the same two steps
    converter._experimental_calibrate_only = True
    return _set_ranges(_convert(converter), calibration, coverage)


def _set_ranges(calibrated: bytes, calibration: np.ndarray, coverage: float) -> bytes:
    import flatbuffers  # type: ignore[import-untyped]

    model = _schema().ModelT.InitFromPackedBuf(calibrated, 0)
    (graph,) = model.subgraphs
    ranged = {
        index: tensor.quantization
        for index, tensor in enumerate(graph.tensors)
        if tensor.quantization is not None and tensor.quantization.max is not None
    }
    (pixels,) = graph.inputs
    ranges = _observed(calibrated, calibration, [i for i in ranged if i != pixels], coverage)
    for index, quantization in ranged.items():
        # uint8 pixels go in as they are, whichever of them the images hold
        low, high = (0.0, 255.0) if index == pixels else ranges[str(index)]
        quantization.min, quantization.max = [low], [high]
    builder = flatbuffers.Builder(len(calibrated))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _observed(
    calibrated: bytes, calibration: np.ndarray, tensors: list[int], coverage: float
) -> Ranges:
    """Ranges of a float flatbuffer's tensors, by their index, over the calibration images."""
    with silenced_stderr():
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        interpreter = Interpreter(
            model_content=calibrated,
            num_threads=os.cpu_count(),
            # a delegate keeps what lies between its operators to itself
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )
        interpreter.allocate_tensors()
    ranges = Ranges(len(calibration), coverage)
    given = interpreter.get_input_details()[0]["index"]
    for (image,) in _samples(calibration):
        interpreter.set_tensor(given, image)
        interpreter.invoke()
        for index in tensors:
            ranges.add(str(index), interpreter.get_tensor(index))
    return ranges


def _quantized(with_ranges: bytes, **options: Any) -> bytes:
    from tensorflow.lite.python import convert

    return _refusing(lambda: convert.mlir_quantize(with_ranges, **options))


def _signal_to_noise(exact: Any, quantized: Any, scale: float, zero: int) -> float:
    """In dB; a sample on which a layer gives nothing but zeros does not count."""
    noise = (np.float64(quantized) - zero) * scale - exact
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = 10 * np.log10(np.square(exact, dtype=np.float64).mean() / np.square(noise).mean())
    return float(np.where(np.isfinite(ratio), ratio, np.nan))


def _samples(images: np.ndarray) -> Iterator[list[np.ndarray]]:
    for image in images.astype(np.float32):
        yield [image[None]]


def _convert(converter: Any) -> bytes:
    return _refusing(converter.convert)


def _refusing(convert: Callable[[], bytes]) -> bytes:
    """Convert quietly; a refusal is one line that names the operators."""
    try:
        with _quiet():
            return bytes(convert())
    # the converter's own error is not part of TensorFlow's interface and has no base but Exception
    except Exception as error:
        raise FerEdgeError(
            f"the TFLite converter refused the network: {_refusal(str(error))}",
            "replace the layer by one that TFLite has an int8 kernel for",
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with silenced_stderr(), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _refusal(said: str) -> str:
    """The operators that a converter's report of many lines is about, else its first line."""
    if operations := dict.fromkeys(re.findall(r"'(tfl?\.\w+)' op", said)):
        return f"it has no kernel for {', '.join(operations)}"
    return next((line.strip() for line in said.splitlines() if line.strip()), "without a reason")
