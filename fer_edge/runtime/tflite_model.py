"""TFLite models on LiteRT, else on tflite_runtime: whichever the system has."""

from __future__ import annotations

from importlib import metadata
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.chatter import silenced_stderr
from fer_edge.errors import require_extra
from fer_edge.runtime.base import (
    Probabilities,
    as_batch,
    check_shapes,
    native_code,
    not_runnable,
    only,
    wrong_batch,
)
from fer_edge.runtime.tflite_check import check_tflite


def open_tflite(
    content: bytes, name: str, *, threads: int = 1, reference_kernels: bool = False
) -> tuple[Any, str]:
    """Open a TFLite model of any kind with LiteRT, else tflite_runtime.

    The interpreter trusts the file: a damaged one may end the process. Classifiers are checked by
    ``check_tflite`` first; what has operators that it does not know is tried by ``rehearse``.

    Args:
        content: the model.
        name: what a message calls it.
        threads: of the interpreter.
        reference_kernels: see ``load_model``.

    Returns:
        The interpreter, its tensors allocated, and the runtime's name and version.

    Raises:
        FerEdgeError: not a model that this runtime can run, or no runtime is installed.
    """
    module, runtime = tflite_module()
    kind = module.OpResolverType
    resolver = kind.BUILTIN_REF if reference_kernels else kind.AUTO
    try:
        with silenced_stderr():
            interpreter = module.Interpreter(
                model_content=content,
                num_threads=threads,
                experimental_op_resolver_type=resolver,
            )
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError, MemoryError) as error:
        raise not_runnable(name, runtime, error) from error
    return interpreter, runtime


class TFLiteModel:
    format = "tflite"

    def __init__(self, content: bytes, name: str, threads: int, reference_kernels: bool) -> None:
        try:
            # the interpreter believes every offset and size in the file
            check_tflite(content)
        except ValueError as error:
            raise not_runnable(name, tflite_module()[1], error) from error
        self._interpreter, self.runtime = open_tflite(
            content, name, threads=threads, reference_kernels=reference_kernels
        )
        given = only(name, "inputs", self._interpreter.get_input_details())
        output = only(name, "outputs", self._interpreter.get_output_details())
        if check_shapes(name, given["shape"], output["shape"]) != 1:
            raise wrong_batch(name, given["shape"][0])
        self.classes = int(output["shape"][-1])
        # looked up once, since the rest runs for every face
        self._input, self._output = int(given["index"]), int(output["index"])
        self._dtype, self._pixels = np.dtype(given["dtype"]), _pixel_table(given)
        self._scale, self._zero = output["quantization"]

    def probabilities(self, faces: npt.NDArray[np.uint8]) -> Probabilities:
        faces = as_batch(faces)[:, None]
        if self._pixels is not None:
            faces = self._pixels[faces]
        elif faces.dtype != self._dtype:
            faces = faces.astype(self._dtype)
        run, result = self._interpreter, np.empty((len(faces), self.classes), np.float32)
        for face, row in zip(faces, result, strict=True):
            run.set_tensor(self._input, face)
            run.invoke()
            row[:] = run.get_tensor(self._output)[0]
        if self._scale:
            result -= self._zero
            result *= self._scale
        return result


def tflite_module() -> tuple[Any, str]:
    """LiteRT, else tflite_runtime: whichever the system has."""
    if find_spec("ai_edge_litert") is not None:
        with native_code("ai-edge-litert"), silenced_stderr():
            from ai_edge_litert import interpreter
        return interpreter, f"LiteRT {metadata.version('ai-edge-litert')}"
    if find_spec("tflite_runtime") is not None:
        with native_code("tflite-runtime"):
            from tflite_runtime import interpreter
        return interpreter, f"tflite-runtime {metadata.version('tflite-runtime')}"
    require_extra("ai_edge_litert", "device")
    raise AssertionError("unreachable")


def _pixel_table(tensor: dict[str, Any]) -> npt.NDArray[Any] | None:
    """What each of the 256 pixel values is in a quantized input; None where they go in as they are.

    Every export of ours takes them as they are; a model from elsewhere may not.
    """
    scale, zero = tensor["quantization"]
    dtype = np.dtype(tensor["dtype"])
    as_they_are = dtype == np.uint8 and scale == 1 and zero == 0
    if scale == 0 or as_they_are or not np.issubdtype(dtype, np.integer):
        return None
    limits = np.iinfo(dtype)
    table = np.clip(np.round(np.arange(256) / scale + zero), limits.min, limits.max)
    return table.astype(dtype)
