"""TFLite flatbuffers as objects: read, written, and run with every tensor in sight."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from fer_edge.chatter import silenced_stderr

NUMPY = {"FLOAT32": np.float32, "INT8": np.int8, "INT32": np.int32, "UINT8": np.uint8}
"""The dtypes of the tensors that the export reads or changes."""


DATA_ALIGNMENT = 16
"""Bytes, of a buffer's data in a file."""
CONVERSION = b"CONVERSION_METADATA"
_WEIGHING = "convolution|depthwise|BiasAdd|MatMul"


def schema() -> Any:
    """TensorFlow's generated classes of the file format."""
    with silenced_stderr():
        from tensorflow.lite.python import schema_py_generated
    return schema_py_generated


def read(content: bytes) -> Any:
    """The file as a ``ModelT``."""
    return schema().ModelT.InitFromPackedBuf(content, 0)


def write(model: Any) -> bytes:
    """Pack a ``ModelT`` into a file; vectors of equal numbers are stored once."""
    import flatbuffers  # type: ignore[import-untyped]

    class Builder(flatbuffers.Builder):
        def __init__(self) -> None:
            super().__init__(1 << 20)
            self.stored: dict[tuple[str, bytes], int] = {}

        def CreateNumpyVector(self, x: np.ndarray) -> int:
            # numbers hold no offsets, so that any number of tables may point to them
            key = x.dtype.str, x.tobytes()
            if key not in self.stored:
                self.stored[key] = super().CreateNumpyVector(x)
            return self.stored[key]

        def StartVector(self, elemSize: int, numElems: int, alignment: int) -> int:
            # of the schema's force_align for buffers, which kernels rely on, Python knows nothing
            aligned = DATA_ALIGNMENT if elemSize == 1 else alignment
            return int(super().StartVector(elemSize, numElems, aligned))

    builder = Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def compacted(content: bytes) -> bytes:
    """The same network in a smaller file: each channel's zero point, always 0, costs eight bytes.

    Zero points and other vectors that are equal are stored once, tensors get short names, and the
    record of the conversion goes. Nothing changes for an interpreter.
    """
    model = read(content)
    for graph in model.subgraphs:
        names = _short([tensor.name.decode() for tensor in graph.tensors])
        for tensor, name in zip(graph.tensors, names, strict=True):
            tensor.name = name.encode()
    dropped = [entry for entry in model.metadata or () if entry.name == CONVERSION]
    for entry in dropped:
        model.metadata.remove(entry)
        # the numbers of the other buffers stay as they are
        model.buffers[entry.buffer].data = None
    return write(model)


def _short(names: list[str]) -> list[str]:
    """Each without the network's name and what was fused with it, no two alike."""
    paths = [name.split(";")[0].split("/") for name in names]
    networks = {path[0] for path in paths if len(path) > 1}
    short: dict[str, None] = {}
    for path in paths:
        name = "/".join(path[1:] if len(path) > 1 and len(networks) == 1 else path)
        while name in short:
            name += "_"
        short[name] = None
    return list(short)


def operators(model: Any, graph: Any) -> list[tuple[str, Any]]:
    """Each operator of a subgraph with its kind, such as CONV_2D."""
    names = {v: k for k, v in vars(schema().BuiltinOperator).items() if isinstance(v, int)}
    # files from before 2020 keep the code in the deprecated byte, newer ones in both
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    return [(names[codes[op.opcodeIndex]], op) for op in graph.operators]


def logits(model: Any, graph: Any) -> set[int]:
    """The tensors that a softmax reads."""
    return {int(op.inputs[0]) for kind, op in operators(model, graph) if kind == "SOFTMAX"}


def softmaxes_of(content: bytes, names: Collection[str]) -> list[str]:
    """The outputs of the softmaxes that read one of these tensors, by name."""
    model = read(content)
    (graph,) = model.subgraphs
    return [
        graph.tensors[op.outputs[0]].name.decode()
        for kind, op in operators(model, graph)
        if kind == "SOFTMAX" and graph.tensors[op.inputs[0]].name.decode() in names
    ]


def constant(model: Any, tensor: Any) -> np.ndarray | None:
    """A copy of a tensor's stored values, None where it has none."""
    data = model.buffers[tensor.buffer].data
    if data is None or len(data) == 0:
        return None
    types = {v: k for k, v in vars(schema().TensorType).items() if isinstance(v, int)}
    values = np.frombuffer(bytes(data), NUMPY[types[tensor.type]])
    return values.reshape(tensor.shape).copy()


def set_constant(model: Any, tensor: Any, values: np.ndarray) -> None:
    """Store values of the same shape and dtype in a tensor."""
    model.buffers[tensor.buffer].data = np.frombuffer(values.tobytes(), np.uint8)


def insert_flatten(model: Any, graph: Any, place: int) -> None:
    """Put a RESHAPE to (1, N) before the operator at a place, on its first input."""
    kinds = schema()
    reader = graph.operators[place]
    given = graph.tensors[reader.inputs[0]]
    size = int(np.prod(given.shape))
    side, flat = kinds.TensorT(), kinds.TensorT()
    side.name, side.shape, side.type = (
        f"flatten_{place}_shape".encode(),
        [2],
        kinds.TensorType.INT32,
    )
    side.buffer = len(model.buffers)
    buffer = kinds.BufferT()
    buffer.data = np.frombuffer(np.array([1, size], np.int32).tobytes(), np.uint8)
    model.buffers.append(buffer)
    # buffer 0 is the empty one
    flat.name, flat.shape, flat.type, flat.buffer = (
        f"flatten_{place}".encode(),
        [1, size],
        given.type,
        0,
    )
    graph.tensors += [side, flat]
    code = kinds.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = kinds.BuiltinOperator.RESHAPE
    model.operatorCodes.append(code)
    added = kinds.OperatorT()
    added.opcodeIndex = len(model.operatorCodes) - 1
    added.inputs = [reader.inputs[0], len(graph.tensors) - 2]
    added.outputs = [len(graph.tensors) - 1]
    reader.inputs = [len(graph.tensors) - 1, *reader.inputs[1:]]
    graph.operators.insert(place, added)


def run(
    content: bytes, images: np.ndarray, tensors: Collection[int]
) -> Iterator[dict[int, np.ndarray]]:
    """Run images, (M, 48, 48, 1) uint8, and give the raw values of tensors after each of them."""
    own = threading.local()

    def run_one(image: np.ndarray) -> dict[int, np.ndarray]:
        if not hasattr(own, "interpreter"):
            own.interpreter = _interpreter(content)
        given = own.interpreter.get_input_details()[0]
        own.interpreter.set_tensor(given["index"], image[None].astype(given["dtype"]))
        own.interpreter.invoke()
        return {index: own.interpreter.get_tensor(index) for index in tensors}

    # an image a thread: threads within an operator wait for one another on a busy machine
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(images), workers):
            yield from pool.map(run_one, images[start : start + workers])


def _interpreter(content: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=content,
        num_threads=1,
        # a delegate keeps what lies between its operators to itself
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    return interpreter


def short_name(tensor: str) -> str:
    """The layer in a converter's tensor name: ``net_1/relu_1/Relu;net_1/conv_1/BiasAdd`` is conv.

    A tensor is named after every operation that was fused into what makes it.
    """
    parts = [part.split("/") for part in tensor.split(";")]
    weighing = [part for part in parts if re.match(_WEIGHING, part[-1])]
    chosen = (weighing or parts)[0]
    if len(chosen) < 2:
        return chosen[0]
    # Keras numbers all names of a network that is traced again
    number = re.search(r"_\d+$", chosen[0])
    return chosen[1].removesuffix(number[0]) if number else chosen[1]
