"""Float TFLite to ONNX, float32 and int8 in QDQ form.

The float flatbuffer is the source, since batch norm is folded in it already and no stray operator
is left; tf2onnx reads it without TensorFlow's graph optimizer.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.chatter import silenced_stderr
from fer_edge.errors import FerEdgeError
from fer_edge.export.converters import tflite_graph
from fer_edge.export.remedies.ranges import DEFAULT, Observer, visible_logits

OPSET = 17
"""Read by every ONNX Runtime since 1.12 (2022)."""


def to_float32(tflite: bytes) -> bytes:
    """Convert a float32 flatbuffer.

    Returns:
        The ONNX model, from ``face``, (1, 48, 48, 1) float32 pixels in 0..255, to
        ``probabilities``; the same flatbuffer gives the same bytes.

    Raises:
        FerEdgeError: ONNX has no operator for one of the flatbuffer's.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "model.tflite", Path(folder) / "model.onnx"
        source.write_bytes(_flattened(tflite))
        with _quiet():
            import tf2onnx

            tf2onnx.convert.from_tflite(str(source), opset=OPSET, output_path=str(target))
        converted = target.read_bytes()
    _check_operators(converted)
    return _renamed(converted)


def to_int8(
    model: bytes,
    calibration: np.ndarray,
    ranges: str = DEFAULT,
    keep_float: Sequence[np.ndarray] = (),
) -> bytes:
    """Quantize a float ONNX model: weights by channel, activations by tensor.

    Args:
        model: the float32 model, with batch size 1.
        calibration: (M, 48, 48, 1) uint8 training images.
        ranges: one of ``ranges.METHODS``.
        keep_float: weights of layers that go on computing in float, as TFLite has them; the softmax
            of logits among them does, too.

    Returns:
        The model in QDQ form; input and output stay float32.
    """
    with tempfile.TemporaryDirectory() as folder, _quiet():
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process

        source, prepared, target = (Path(folder) / f"{n}.onnx" for n in ("float", "ready", "int8"))
        source.write_bytes(model)
        # without it, what shape inference could have fused is quantized apart
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        known = _observed(prepared.read_bytes(), calibration, ranges)
        quantization.quantize_static(
            str(prepared),
            str(target),
            # every range is given, but the quantizer wants to see an image all the same
            _reader(prepared, calibration[:1]),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            nodes_to_exclude=_float_nodes(prepared, keep_float),
            extra_options={"TensorQuantOverrides": known},
        )
        return target.read_bytes()


def _flattened(tflite: bytes) -> bytes:
    """The flatbuffer with a reshape of its own before each dense layer that flattens by itself.

    tf2onnx 1.17 forgets the bias of the others without a word: it gives a FULLY_CONNECTED of an
    input other than (1, N) two inputs in place of its three.
    """
    model = tflite_graph.read(tflite)
    (graph,) = model.subgraphs
    for place, (kind, op) in reversed(list(enumerate(tflite_graph.operators(model, graph)))):
        if kind == "FULLY_CONNECTED" and len(graph.tensors[op.inputs[0]].shape) != 2:
            tflite_graph.insert_flatten(model, graph, place)
    return tflite_graph.write(model)


def _check_operators(model: bytes) -> None:
    """Refuse what tf2onnx has left as TFLite's own, which no ONNX runtime knows."""
    import onnx

    kinds = [node.op_type for node in onnx.load_from_string(model).graph.node]
    if left := sorted({kind.removeprefix("TFL_") for kind in kinds if kind.startswith("TFL_")}):
        raise FerEdgeError(
            f"the network cannot become ONNX: ONNX has no {', '.join(left)}",
            "ship the int8 TFLite alone with --slim, or replace the layer",
        )


def _observed(model: bytes, calibration: np.ndarray, method: str) -> dict[str, Any]:
    """Ranges of the input and every operator's output, as ONNX Runtime's quantizer takes them."""
    import onnx
    import onnxruntime

    content = onnx.load_from_string(model)
    pixels = content.graph.input[0].name
    names = [name for node in content.graph.node for name in node.output]
    logits = {node.input[0] for node in content.graph.node if node.op_type == "Softmax"}
    del content.graph.output[:]
    content.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count() or 1
    # the outputs are those of the graph as it stands
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(content.SerializeToString(), options)
    observer = Observer(len(calibration), (method,))
    for image in calibration.astype(np.float32):
        for name, values in zip(names, session.run(names, {pixels: image[None]}), strict=True):
            if values.dtype == np.float32:
                observer.add(name, visible_logits(values) if name in logits else values)
    known = observer.ranges(method) | _known(content.graph, pixels)
    return {
        name: [{"rmin": np.float32(low), "rmax": np.float32(high)}]
        for name, (low, high) in known.items()
    }


def _known(graph: Any, pixels: str) -> dict[str, tuple[float, float]]:
    """Ranges that follow from what a tensor is, whichever values the images hold."""
    known = {pixels: (0.0, 255.0)}
    for node in graph.node:
        if node.op_type == "Reshape" and node.input[0] in known:
            known[node.output[0]] = known[node.input[0]]
        elif node.op_type == "Softmax":
            known[node.output[0]] = (0.0, 1.0)
    return known


def _renamed(model: bytes) -> bytes:
    """Names by position in the graph.

    tf2onnx numbers its names on from those of earlier conversions in the same process.
    """
    import onnx

    content = onnx.load_from_string(model)
    graph = content.graph
    names = {graph.input[0].name: "face", graph.output[0].name: "probabilities", "": ""}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for place, node in enumerate(graph.node):
        node.name = f"{node.op_type.lower()}_{place}"
        for position, name in enumerate(node.input):
            if name in constants:
                names.setdefault(name, f"{node.name}_constant_{position}")
        for position, name in enumerate(node.output):
            names.setdefault(name, f"{node.name}_{position}" if position else f"{node.name}_out")
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    for tensor in (graph.input[0], graph.output[0], *constants.values()):
        tensor.name = names[tensor.name]
    ordered = sorted(constants.values(), key=lambda tensor: tensor.name)
    copies = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in ordered]
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(copies)
    renamed: bytes = content.SerializeToString(deterministic=True)
    return renamed


def _float_nodes(model: Path, kernels: Sequence[np.ndarray]) -> list[str]:
    """Names of the operators with these weights, and of their softmaxes.

    By their weights, since the two formats sort a network that branches otherwise.
    """
    import onnx

    graph = onnx.load(model).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    wanted = [layout for kernel in kernels for layout in _layouts(kernel)]
    chosen = [
        node
        for node in graph.node
        if node.op_type in ("Conv", "Gemm", "MatMul")
        and node.input[1] in constants
        and _is_among(onnx.numpy_helper.to_array(constants[node.input[1]]), wanted)
    ]
    made = {name for node in chosen for name in node.output}
    # an int8 softmax would round float logits all the same
    chosen += [node for node in graph.node if node.op_type == "Softmax" and node.input[0] in made]
    return [node.name for node in chosen]


def _layouts(kernel: np.ndarray) -> list[np.ndarray]:
    """TFLite's weights as ONNX may have them, of a convolution, a depthwise or a dense layer."""
    if kernel.ndim == 4:
        return [kernel.transpose(0, 3, 1, 2), kernel.transpose(3, 0, 1, 2)]
    return [kernel, kernel.T]


def _is_among(weights: np.ndarray, known: Sequence[np.ndarray]) -> bool:
    return any(np.array_equal(weights, each) for each in known)


def _reader(model: Path, calibration: np.ndarray) -> object:
    """The calibration images as ONNX Runtime's quantizer takes them."""
    import onnx
    from onnxruntime import quantization

    name = onnx.load(model).graph.input[0].name

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.images = iter(calibration.astype(np.float32))

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self.images, None)
            return None if image is None else {name: image[None]}

    return Reader()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the converters' notices, on both streams and in the log, from the user."""
    logging.disable(logging.WARNING)
    try:
        with silenced_stderr(), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)
