"""TFLite flatbuffers as objects: read, written, and run with every tensor in sight."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from fer_edge.chatter import silenced_stderr

NUMPY = {"FLOAT32": np.float32, "INT8": np.int8, "INT32": np.int32, "UINT8": np.uint8}
"""The dtypes of the tensors that the export reads or changes."""


def schema() -> Any:
    """TensorFlow's generated classes of the file format."""
    with silenced_stderr():
        from tensorflow.lite.python import schema_py_generated
    return schema_py_generated


def read(content: bytes) -> Any:
    """The file as a ``ModelT``."""
    return schema().ModelT.InitFromPackedBuf(content, 0)


def write(model: Any) -> bytes:
    """Pack a ``ModelT`` into a file."""
    import flatbuffers  # type: ignore[import-untyped]

    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def operators(model: Any, graph: Any) -> list[tuple[str, Any]]:
    """Each operator of a subgraph with its kind, such as CONV_2D."""
    names = {v: k for k, v in vars(schema().BuiltinOperator).items() if isinstance(v, int)}
    # files from before 2020 keep the code in the deprecated byte, newer ones in both
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    return [(names[codes[op.opcodeIndex]], op) for op in graph.operators]


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
