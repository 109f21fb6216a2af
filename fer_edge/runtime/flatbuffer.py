"""Reading a TFLite flatbuffer without trusting it.

The interpreters follow a file's offsets, indices and sizes in C++ and believe them: of 300 single
bits flipped in a model, five made LiteRT end the process. Here every offset is followed within the
file's bounds, before. What the numbers mean is checked in ``fer_edge.runtime.tflite_check``.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

MOST_TABLES = 100_000
"""Tables that are read before a file is taken to be malicious; a model has a few hundred."""

Table = dict[str, Any]
"""A flatbuffer table: scalars, strings, vectors of scalars as arrays, tables, lists of tables."""

_SCALARS = {"bool": "?", "i8": "b", "u8": "B", "i32": "i", "u32": "I", "i64": "q", "u64": "Q"}
_ARRAYS = {
    name: np.dtype(kind).newbyteorder("<")
    for name, kind in {"u8": "u1", "i32": "i4", "u32": "u4", "f32": "f4", "i64": "i8"}.items()
}

# A table's fields in the order of the TFLite schema, version 3: a scalar by its name in _SCALARS
# (and its default, where that is not 0), "string", another table by its name, vectors in brackets.
# "table" is one of a kind that is not described here: its bounds are checked, its fields not read.
SCHEMA: Mapping[str, Mapping[str, str]] = {
    "Model": {
        "version": "u32",
        "operator_codes": "[OperatorCode]",
        "subgraphs": "[SubGraph]",
        "description": "string",
        "buffers": "[Buffer]",
        "metadata_buffer": "[i32]",
        "metadata": "[Metadata]",
        "signature_defs": "[SignatureDef]",
        "external_buffer_groups": "[table]",
        "external_buffers": "[table]",
    },
    "OperatorCode": {
        "deprecated_builtin_code": "i8",
        "custom_code": "string",
        "version": "i32",
        "builtin_code": "i32",
    },
    "SubGraph": {
        "tensors": "[Tensor]",
        "inputs": "[i32]",
        "outputs": "[i32]",
        "operators": "[Operator]",
        "name": "string",
        "debug_metadata_index": "i32",
    },
    "Tensor": {
        "shape": "[i32]",
        "type": "i8",
        "buffer": "u32",
        "name": "string",
        "quantization": "Quantization",
        "is_variable": "bool",
        "sparsity": "table",
        "shape_signature": "[i32]",
        "has_rank": "bool",
        "variant_tensors": "[table]",
        "external_buffer": "u32",
    },
    "Quantization": {
        "min": "[f32]",
        "max": "[f32]",
        "scale": "[f32]",
        "zero_point": "[i64]",
        "details_type": "u8",
        "details": "table",
        "quantized_dimension": "i32",
    },
    "Operator": {
        "opcode_index": "u32",
        "inputs": "[i32]",
        "outputs": "[i32]",
        "builtin_options_type": "u8",
        "builtin_options": "table",
        "custom_options": "[u8]",
        "custom_options_format": "i8",
        "mutating_variable_inputs": "[u8]",
        "intermediates": "[i32]",
        "large_custom_options_offset": "u64",
        "large_custom_options_size": "u64",
        "builtin_options_2_type": "u8",
        "builtin_options_2": "table",
        "debug_metadata_index": "i32",
    },
    "Buffer": {"data": "[u8]", "offset": "u64", "size": "u64"},
    "Metadata": {"name": "string", "buffer": "u32"},
    "SignatureDef": {
        "inputs": "[TensorMap]",
        "outputs": "[TensorMap]",
        "signature_key": "string",
        "deprecated_tag": "string",
        "subgraph_index": "u32",
    },
    "TensorMap": {"name": "string", "tensor_index": "u32"},
    "Conv2D": {
        "padding": "i8",
        "stride_w": "i32",
        "stride_h": "i32",
        "activation": "i8",
        "dilation_w": "i32=1",
        "dilation_h": "i32=1",
        "quantized_bias_type": "i8",
    },
    "DepthwiseConv2D": {
        "padding": "i8",
        "stride_w": "i32",
        "stride_h": "i32",
        "depth_multiplier": "i32",
        "activation": "i8",
        "dilation_w": "i32=1",
        "dilation_h": "i32=1",
    },
    "Pool2D": {
        "padding": "i8",
        "stride_w": "i32",
        "stride_h": "i32",
        "filter_w": "i32",
        "filter_h": "i32",
        "activation": "i8",
    },
    "FullyConnected": {
        "activation": "i8",
        "weights_format": "i8",
        "keep_num_dims": "bool",
        "asymmetric_quantize_inputs": "bool",
        "quantized_bias_type": "i8",
    },
    "Reshape": {"new_shape": "[i32]"},
    "Squeeze": {"squeeze_dims": "[i32]"},
}

OPTIONS = {
    1: "Conv2D",
    2: "DepthwiseConv2D",
    5: "Pool2D",
    8: "FullyConnected",
    17: "Reshape",
    30: "Squeeze",
}
"""``builtin_options_type`` of the tables above; of any other kind only the bounds are checked."""


def read_model(content: bytes) -> Table:
    """Read a TFLite file's tables, whole.

    Args:
        content: a ``.tflite`` file.

    Returns:
        The ``Model`` table. A field that the file leaves out is 0, None for a table or string, or
        an empty vector. Vectors of numbers are views into ``content``.

    Raises:
        ValueError: something lies outside of the file, or is not where it may be.
    """
    if content[4:8] != b"TFL3":
        raise ValueError("it is not marked as a TFLite file")
    return _Reader(content).table("Model", 0)


class _Reader:
    """Follows offsets of one file; each position is checked before it is read."""

    def __init__(self, content: bytes) -> None:
        self._content, self._tables = content, 0

    def table(self, kind: str, reference: int) -> Table:
        """The table that the offset at ``reference`` points to."""
        self._tables += 1
        if self._tables > MOST_TABLES:
            raise ValueError("it has too many tables")
        position = self._target(reference, 4)
        vtable = position - int(self._scalar("i32", position))
        vtable_size, size = (self._u16(vtable + step) for step in (0, 2))
        if vtable % 2 or vtable_size < 4 or vtable_size % 2 or size < 4:
            raise ValueError(f"the layout of a table at byte {position} is impossible")
        self._inside(vtable, vtable_size)
        self._inside(position, size)
        slots = struct.unpack_from(f"<{vtable_size // 2 - 2}H", self._content, vtable + 4)
        if any(slot and not 4 <= slot < size for slot in slots):
            raise ValueError(f"a field of the table at byte {position} lies outside of it")
        if kind == "table":
            return {}
        fields = SCHEMA[kind]
        placed = dict(zip(fields, slots, strict=False))
        result: Table = {}
        for name, described in fields.items():
            what, _, default = described.partition("=")
            if name == "builtin_options":
                what = OPTIONS.get(result["builtin_options_type"], "table")
            slot = placed.get(name, 0)
            if slot and slot + _size(what) > size:
                raise ValueError(f"'{name}' of the table at byte {position} lies outside of it")
            result[name] = self._field(what, position + slot) if slot else _absent(what, default)
        return result

    def _field(self, what: str, at: int) -> Any:
        if what in _SCALARS:
            return self._scalar(what, at)
        if what == "string":
            return bytes(self._vector(at, 1, ending=1)).decode()
        if not what.startswith("["):
            return self.table(what, at)
        of = what.strip("[]")
        if of in _ARRAYS:
            return np.frombuffer(self._vector(at, _ARRAYS[of].itemsize), _ARRAYS[of])
        offsets = self._vector(at, 4)
        if len(offsets) // 4 > MOST_TABLES:
            raise ValueError("it has too many tables")
        start = self._target(at, 4) + 4
        return [self.table(of, start + 4 * index) for index in range(len(offsets) // 4)]

    def _vector(self, reference: int, itemsize: int, ending: int = 0) -> memoryview:
        """Bytes of the vector that the offset at ``reference`` points to."""
        position = self._target(reference, 4)
        length = int(self._scalar("u32", position)) * itemsize
        self._inside(position + 4, length + ending)
        # the count's four bytes come before the items, which are aligned by themselves
        if itemsize > 1 and (position + 4) % itemsize:
            raise ValueError(f"the vector at byte {position} is not aligned")
        return memoryview(self._content)[position + 4 : position + 4 + length]

    def _target(self, reference: int, alignment: int) -> int:
        offset = int(self._scalar("u32", reference))
        position = reference + offset
        if not offset or position % alignment:
            raise ValueError(f"the offset at byte {reference} leads nowhere")
        self._inside(position, 4)
        return position

    def _scalar(self, kind: str, at: int) -> int:
        self._inside(at, struct.calcsize(_SCALARS[kind]))
        value: int = struct.unpack_from("<" + _SCALARS[kind], self._content, at)[0]
        return value

    def _u16(self, at: int) -> int:
        self._inside(at, 2)
        value: int = struct.unpack_from("<H", self._content, at)[0]
        return value

    def _inside(self, start: int, size: int) -> None:
        if start < 0 or start + size > len(self._content):
            raise ValueError(f"an offset leads out of the file, to byte {start}")


def _size(what: str) -> int:
    return struct.calcsize(_SCALARS.get(what, "I"))


def _absent(what: str, default: str) -> Any:
    if what in _SCALARS:
        return int(default or 0)
    if not what.startswith("["):
        return None
    of = what.strip("[]")
    return np.empty(0, _ARRAYS[of]) if of in _ARRAYS else []
