"""Keras to TFLite: float32, float16, dynamic range, and int8 throughout with uint8 in and out."""

from __future__ import annotations

import contextlib
import csv
import io
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from fer_edge.chatter import silenced_stderr
from fer_edge.errors import FerEdgeError
from fer_edge.export.converters import tflite_graph
from fer_edge.export.converters.isolating import isolated, quantizable
from fer_edge.export.converters.tflite_graph import compacted
from fer_edge.export.remedies.ranges import DEFAULT, Observer, visible_logits

DEBUG_IMAGES = 32
"""Calibration images behind ``layer_errors``."""


def to_float32(network: keras.Model) -> bytes:
    """Convert a network with batch size 1; returns the flatbuffer."""
    return _convert(_converter(network))


def to_float16(network: keras.Model) -> bytes:
    """Convert with weights in float16, half the size; they are widened when the file is loaded."""
    import tensorflow as tf

    converter = _converter(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return _convert(converter)


def to_dynamic_range(network: keras.Model) -> bytes:
    """Convert with weights in int8, by channel; activations are float between the layers.

    A layer of many weights rounds its inputs to int8 as they come, by their own largest value, so
    that nothing needs calibration. Small layers stay in float.
    """
    import tensorflow as tf

    converter = _converter(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return _convert(converter)


def to_int8(network: keras.Model, calibration: np.ndarray, ranges: str = DEFAULT) -> bytes:
    """Quantize weights by channel and activations by tensor to int8.

    Args:
        network: float32, batch size 1.
        calibration: (M, 48, 48, 1) uint8 training images.
        ranges: one of ``ranges.METHODS``.

    Returns:
        The flatbuffer; its input and output are uint8, and it holds no float tensor.

    Raises:
        FerEdgeError: a layer has no int8 kernel.
    """
    rangeless = calibratable(network, calibration)
    seen = observe(rangeless, calibration, (ranges,))
    return compacted(quantize(with_ranges(rangeless, seen, ranges)))


def calibratable(network: keras.Model, calibration: np.ndarray) -> bytes:
    """The flatbuffer between conversion and quantization: float, with a place for each range."""
    import tensorflow as tf

    converter = _converter(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    # one image shows which tensors have a range; the ranges are ours
    converter.representative_dataset = lambda: _samples(calibration[:1])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    # TensorFlow's QuantizationDebugger takes the same two steps
    converter._experimental_calibrate_only = True
    return _convert(converter)


def observe(rangeless: bytes, calibration: np.ndarray, methods: Sequence[str]) -> Observer:
    """Watch what ``calibratable`` gave over (M, 48, 48, 1) uint8, by the tensors' index.

    Of a softmax's input it takes what shows in its output, see ``visible_logits``.
    """
    model = tflite_graph.read(rangeless)
    (graph,) = model.subgraphs
    watched = [i for i in _ranged(graph) if i != graph.inputs[0]]
    logits = tflite_graph.logits(model, graph)
    observer = Observer(len(calibration), methods)
    for values in tflite_graph.run(rangeless, calibration, watched):
        for index, tensor in values.items():
            observer.add(str(index), visible_logits(tensor) if index in logits else tensor)
    return observer


def with_ranges(rangeless: bytes, seen: Observer, method: str) -> bytes:
    """Put a method's ranges into what ``calibratable`` gave."""
    model = tflite_graph.read(rangeless)
    (graph,) = model.subgraphs
    found = seen.ranges(method)
    for index in _ranged(graph):
        # uint8 pixels go in as they are, whichever of them the images hold
        low, high = (0.0, 255.0) if index == graph.inputs[0] else found[str(index)]
        quantization = graph.tensors[index].quantization
        quantization.min, quantization.max = [low], [high]
    return tflite_graph.write(model)


def quantize(ranged: bytes, keep_float: Collection[str] = ()) -> bytes:
    """Quantize a float flatbuffer that has its ranges; input and output become uint8.

    Args:
        ranged: of ``with_ranges``.
        keep_float: operators that go on computing in float, by their output tensor's name; the
            softmax of logits among them does, too.

    Raises:
        FerEdgeError: another layer has no int8 kernel.
    """
    import tensorflow as tf

    # an int8 softmax would round float logits all the same
    in_float = {*keep_float, *tflite_graph.softmaxes_of(ranged, keep_float)}
    content = _quantized(
        ranged,
        input_data_type=tf.uint8,
        output_data_type=tf.uint8,
        # an empty list would stand for everything
        denylisted_nodes=sorted(in_float) or None,
    )
    if not keep_float and (left := float_tensors(content)):
        raise FerEdgeError(
            f"{len(left)} tensors stayed in float after quantization, around "
            f"{', '.join(float_operators(content))}",
            "replace the layer that makes them by one that TFLite has an int8 kernel for",
        )
    return content


def layer_errors(ranged: bytes, calibration: np.ndarray) -> list[tuple[str, float]]:
    """Quantization noise of every layer by TensorFlow's QuantizationDebugger, worst first.

    Args:
        ranged: of ``with_ranges``.
        calibration: (M, 48, 48, 1) uint8; the first ``DEBUG_IMAGES`` are used.

    Returns:
        Pairs of the layer's output tensor and its signal-to-noise ratio in dB, each layer given
        undisturbed inputs. Of logits it is what shows in the answer, see ``visible_logits``.
    """
    import tensorflow as tf

    debugging = tf.lite.experimental
    content = _quantized(ranged, enable_numeric_verify=True)
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
    errors = {row["tensor_name"]: float(row["decibels"]) for row in rows}
    errors |= _logit_errors(ranged, calibration[:DEBUG_IMAGES])
    return sorted(errors.items(), key=lambda pair: pair[1])


def _logit_errors(ranged: bytes, images: np.ndarray) -> dict[str, float]:
    """The debugger would take for noise what the range of logits clips on purpose."""
    model = tflite_graph.read(ranged)
    (graph,) = model.subgraphs
    found = {}
    for operator in quantizable(ranged):
        index = int(graph.operators[operator.place].outputs[0])
        if index not in tflite_graph.logits(model, graph):
            continue
        rounded = tflite_graph.run(isolated(ranged, operator), images, [index])
        ratios = [
            _signal_to_noise(visible_logits(one[index]), visible_logits(other[index]), 1.0, 0)
            for one, other in zip(tflite_graph.run(ranged, images, [index]), rounded, strict=True)
        ]
        found[operator.name] = float(np.nanmean(ratios))
    return found


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
    schema = tflite_graph.schema()
    types = {v: k for k, v in vars(schema.TensorType).items() if isinstance(v, int)}
    return [
        {
            "name": tensor.name.decode(),
            "type": types[tensor.type],
            "shape": [] if tensor.shape is None else [int(side) for side in tensor.shape],
        }
        for graph in tflite_graph.read(content).subgraphs
        for tensor in graph.tensors
    ]


def operators(content: bytes) -> list[str]:
    """The operators of a flatbuffer in order, such as CONV_2D."""
    return [name for name, _ in _operators(content)]


def _operators(content: bytes) -> list[tuple[str, list[str]]]:
    """Each operator with the names of its input and output tensors."""
    model = tflite_graph.read(content)
    return [
        # -1 stands for an input left out
        (kind, [graph.tensors[i].name.decode() for i in (*op.inputs, *op.outputs) if i >= 0])
        for graph in model.subgraphs
        for kind, op in tflite_graph.operators(model, graph)
    ]


def _converter(network: keras.Model) -> Any:
    import tensorflow as tf

    return tf.lite.TFLiteConverter.from_keras_model(network)


def _ranged(graph: Any) -> list[int]:
    """The tensors that the quantizer wants a range of."""
    return [
        index
        for index, tensor in enumerate(graph.tensors)
        if tensor.quantization is not None and tensor.quantization.max is not None
    ]


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
