"""A TFLite file is believed only after it was looked at."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from exported import Exported
from maker import Maker

from fer_edge.bundle import (
    DYNAMIC_TFLITE,
    FLOAT16_TFLITE,
    FLOAT_TFLITE,
    INT8_TFLITE,
    open_bundle,
)
from fer_edge.errors import FerEdgeError
from fer_edge.runtime import load_model
from fer_edge.runtime.flatbuffer import read_model
from fer_edge.runtime.tflite_check import check_tflite

schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
flatbuffers = pytest.importorskip("flatbuffers")

Change = Callable[[Any], Any]


@pytest.fixture(scope="module")
def content(exported: Exported) -> bytes:
    """A convolutional int8 network."""
    return open_bundle(exported.bundle).read(INT8_TFLITE)


def _changed(content: bytes, change: Change) -> bytes:
    """The model with something changed in it, through Google's own reader and writer."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    change(model)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _tensor(model: Any, index: int = 0) -> Any:
    return model.subgraphs[0].tensors[index]


def _operator(model: Any, kind: str) -> Any:
    wanted = getattr(schema.BuiltinOperator, kind)
    return next(
        operator
        for operator in model.subgraphs[0].operators
        if model.operatorCodes[operator.opcodeIndex].builtinCode == wanted
    )


def _convolution(model: Any) -> Any:
    return _operator(model, "CONV_2D")


def test_what_is_read_is_what_google_s_reader_reads(exported: Exported) -> None:
    bundle = open_bundle(exported.bundle)
    for name in (INT8_TFLITE, FLOAT_TFLITE, FLOAT16_TFLITE, DYNAMIC_TFLITE):
        ours, theirs = (
            read_model(bundle.read(name)),
            schema.ModelT.InitFromPackedBuf(bundle.read(name), 0),
        )
        graph, expected = ours["subgraphs"][0], theirs.subgraphs[0]
        assert len(ours["buffers"]) == len(theirs.buffers)
        for tensor, known in zip(graph["tensors"], expected.tensors, strict=True):
            assert tensor["name"] == known.name.decode()
            assert tensor["shape"].tolist() == list(known.shape if known.shape is not None else ())
            assert (tensor["type"], tensor["buffer"]) == (known.type, known.buffer)
            scale = known.quantization.scale if known.quantization else None
            given = tensor["quantization"]["scale"] if tensor["quantization"] else ()
            assert list(given) == list(scale if scale is not None else ())
        for operator, known in zip(graph["operators"], expected.operators, strict=True):
            assert operator["inputs"].tolist() == list(known.inputs)
            assert operator["outputs"].tolist() == list(known.outputs)
            for field, attribute in (("stride_w", "strideW"), ("dilation_h", "dilationHFactor")):
                if operator["builtin_options"] and field in operator["builtin_options"]:
                    given = getattr(known.builtinOptions, attribute, None)
                    assert given in (None, operator["builtin_options"][field])


def test_every_model_of_a_full_export_passes(exported: Exported, maker: Maker) -> None:
    members = open_bundle(exported.bundle).content
    models = [members[name] for name in members if name.endswith(".tflite")]
    assert len(models) == 4
    for content in (*models, maker.content):
        check_tflite(content)
        check_tflite(_changed(content, lambda model: None))


def _write_constant(model: Any) -> None:
    operator = _convolution(model)
    operator.outputs = [operator.inputs[1]]


def _swap_operators(model: Any) -> None:
    operators = model.subgraphs[0].operators
    operators[1], operators[2] = operators[2], operators[1]


def _enlarge(model: Any) -> None:
    _tensor(model).shape = np.array([1, 1 << 14, 1 << 14, 1], np.int32)


def _enlarge_many(model: Any) -> None:
    graph = model.subgraphs[0]
    for tensor in graph.tensors:
        if model.buffers[tensor.buffer].data is None:
            tensor.shape = np.array([1, 1 << 13, 1 << 12, 1], np.int32)


def _custom(model: Any) -> None:
    model.operatorCodes[0].customCode = b"Evil"


CASES: dict[str, tuple[Change, str]] = {
    "schema version": (lambda m: setattr(m, "version", 4), "schema version is 4"),
    "two graphs": (lambda m: m.subgraphs.append(m.subgraphs[0]), "2 graphs"),
    "no graph": (lambda m: m.subgraphs.clear(), "0 graphs"),
    "data outside": (lambda m: setattr(m.buffers[1], "offset", 9), "outside of its buffers"),
    "unknown type": (lambda m: setattr(_tensor(m), "type", 13), "unknown type 13"),
    "negative side": (lambda m: setattr(_tensor(m), "shape", [1, -48, 48, 1]), "has the shape"),
    "seven sides": (lambda m: setattr(_tensor(m), "shape", [1] * 7), "has the shape"),
    "huge": (_enlarge, "a tensor has 256 MiB"),
    "huge together": (_enlarge_many, "over 256 MiB"),
    "no such buffer": (lambda m: setattr(_tensor(m), "buffer", 9999), "buffer does not exist"),
    "short constant": (lambda m: setattr(_tensor(m, 1), "shape", [64]), "is given"),
    "variable": (lambda m: setattr(_tensor(m), "isVariable", True), "variable or sparse"),
    "sparse": (
        lambda m: setattr(_tensor(m), "sparsity", schema.SparsityParametersT()),
        "variable or sparse",
    ),
    "scale 0": (lambda m: setattr(_tensor(m).quantization, "scale", [0.0]), "scale is impossible"),
    "scale NaN": (
        lambda m: setattr(_tensor(m).quantization, "scale", [float("nan")]),
        "scale is impossible",
    ),
    "three scales": (
        lambda m: setattr(_tensor(m).quantization, "scale", [1.0] * 3),
        "channels that it does not have",
    ),
    "no zero point": (
        lambda m: setattr(_tensor(m).quantization, "zeroPoint", []),
        "has not as many zero points",
    ),
    "far zero point": (
        lambda m: setattr(_tensor(m).quantization, "zeroPoint", [256]),
        "out of its type's range",
    ),
    "input nowhere": (lambda m: setattr(m.subgraphs[0], "inputs", [-1]), "does not exist"),
    "input constant": (lambda m: setattr(m.subgraphs[0], "inputs", [1]), "is a constant"),
    "output unwritten": (lambda m: m.subgraphs[0].operators.pop(), "never written"),
    "reads nothing": (lambda m: setattr(_convolution(m), "inputs", [999, 1]), "reads a tensor"),
    "writes nothing": (lambda m: setattr(_convolution(m), "outputs", [-1]), "writes a tensor"),
    "writes a constant": (_write_constant, "is a constant"),
    "wrong order": (_swap_operators, "not written yet"),
    "unknown operator": (lambda m: setattr(_convolution(m), "opcodeIndex", 99), "does not name"),
    "custom operator": (_custom, "custom operator"),
    "few inputs": (lambda m: setattr(_convolution(m), "inputs", [0]), "lacks inputs"),
    "left-out kernel": (lambda m: setattr(_convolution(m), "inputs", [0, -1]), "lacks inputs"),
    "stride 0": (lambda m: setattr(_convolution(m).builtinOptions, "strideW", 0), "a step of 0"),
    "huge dilation": (
        lambda m: setattr(_convolution(m).builtinOptions, "dilationHFactor", 1 << 30),
        "a step of",
    ),
    "padding": (lambda m: setattr(_convolution(m).builtinOptions, "padding", 7), "padding"),
    "activation": (
        lambda m: setattr(_convolution(m).builtinOptions, "fusedActivationFunction", 9),
        "activation",
    ),
    "no options": (lambda m: setattr(_convolution(m), "builtinOptions", None), "options"),
    "signature": (
        lambda m: setattr(m.signatureDefs[0].inputs[0], "tensorIndex", 9999),
        "a signature names",
    ),
    "metadata": (lambda m: setattr(m.metadata[0], "buffer", 9999), "metadata lies nowhere"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_model_that_means_nothing_is_refused_before_an_interpreter_sees_it(
    case: str, content: bytes
) -> None:
    change, why = CASES[case]
    changed = _changed(content, change)
    with pytest.raises(ValueError, match=why):
        check_tflite(changed)
    with pytest.raises(FerEdgeError, match="cannot be run by LiteRT"):
        load_model(changed)


def _widened(model: Any, end: str) -> Any:
    """What a float16 file's DEQUANTIZE reads or writes."""
    return _tensor(model, getattr(_operator(model, "DEQUANTIZE"), end)[0])


def _rounded_kernel(model: Any) -> Any:
    """The int8 kernel of a layer between floats."""
    return next(each for each in model.subgraphs[0].tensors if each.type == schema.TensorType.INT8)


def _as_kernel_of_float16(model: Any) -> None:
    read, _, bias = _convolution(model).inputs
    _convolution(model).inputs = [read, _operator(model, "DEQUANTIZE").inputs[0], bias]


LOSSY_CASES: dict[str, tuple[str, Change, str]] = {
    "int8 without a scale": (
        FLOAT16_TFLITE,
        lambda m: setattr(_widened(m, "inputs"), "type", schema.TensorType.INT16),
        "has no scale",
    ),
    "widened to integers": (
        FLOAT16_TFLITE,
        lambda m: setattr(_widened(m, "outputs"), "type", schema.TensorType.INT32),
        "does not give float32",
    ),
    "another shape": (
        FLOAT16_TFLITE,
        lambda m: setattr(_widened(m, "outputs"), "shape", [1]),
        "changes a shape",
    ),
    "nothing to widen": (
        FLOAT16_TFLITE,
        lambda m: setattr(_operator(m, "DEQUANTIZE"), "inputs", []),
        "one tensor into one other",
    ),
    "float16 kernel": (FLOAT16_TFLITE, _as_kernel_of_float16, "kernel of type 1"),
    "int8 kernel without a scale": (
        DYNAMIC_TFLITE,
        lambda m: setattr(_rounded_kernel(m), "quantization", None),
        "has no scale",
    ),
    "int8 kernel with a zero point": (
        DYNAMIC_TFLITE,
        lambda m: setattr(
            _rounded_kernel(m).quantization,
            "zeroPoint",
            [3] * len(_rounded_kernel(m).quantization.scale),
        ),
        "or a zero point",
    ),
    "int8 kernel of too many channels": (
        DYNAMIC_TFLITE,
        lambda m: setattr(_rounded_kernel(m).quantization, "quantizedDimension", 1),
        "channels that it does not have",
    ),
}


@pytest.mark.parametrize("case", LOSSY_CASES)
def test_float16_weights_and_hybrid_kernels_are_looked_at_as_well(
    case: str, exported: Exported
) -> None:
    member, change, why = LOSSY_CASES[case]
    with pytest.raises(ValueError, match=why):
        check_tflite(_changed(open_bundle(exported.bundle).read(member), change))


def test_every_offset_is_followed_within_the_file_only(maker: Maker) -> None:
    content = maker.content
    for position in range(0, len(content) - 4, 8):
        for value in (0x7FFFFFFF, 0xFFFFFFFC, len(content) - position):
            changed = bytearray(content)
            struct.pack_into("<I", changed, position, value)
            # nothing else than a ValueError, and no waiting
            with contextlib.suppress(ValueError):
                check_tflite(bytes(changed))


def test_every_truncation_is_refused(maker: Maker) -> None:
    for length in range(0, len(maker.content), 7):
        with pytest.raises(ValueError, match=r"^(it|the|an?) "):
            check_tflite(maker.content[:length])


def test_a_table_that_is_named_a_million_times_takes_no_time(maker: Maker) -> None:
    """A vector of offsets that all lead to one table of many."""
    content, count = bytearray(maker.content), 3_000_000
    # the model's table is found again behind a vector of 3,000,000 tensors
    model = read_model(maker.content)
    assert len(model["subgraphs"]) == 1
    start = len(content) + (-len(content)) % 4
    content += bytes(start - len(content)) + struct.pack("<I", count)
    offsets = np.arange(count, dtype=np.int64)
    content += (4 * (count - offsets)).astype("<u4").tobytes() + bytes(64)
    root = struct.unpack_from("<I", content, 0)[0]
    vtable = root - struct.unpack_from("<i", content, root)[0]
    slot = struct.unpack_from("<H", content, vtable + 4 + 2 * 2)[0]
    struct.pack_into("<I", content, root + slot, start - root - slot)
    with pytest.raises(ValueError, match="too many tables"):
        check_tflite(bytes(content))


def test_a_float_input_with_a_scale_takes_pixels_as_they_are(exported: Exported) -> None:
    def give_scale(model: Any) -> None:
        given = _tensor(model, int(model.subgraphs[0].inputs[0]))
        given.quantization = schema.QuantizationParametersT()
        given.quantization.scale, given.quantization.zeroPoint = [0.5], [0]

    content = open_bundle(exported.bundle).read(FLOAT_TFLITE)
    faces = exported.dataset.faces[:4]
    scaled = load_model(_changed(content, give_scale)).probabilities(faces)
    np.testing.assert_array_equal(scaled, load_model(content).probabilities(faces))
