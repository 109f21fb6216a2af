"""ONNX models on ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.errors import FerEdgeError, require_extra
from fer_edge.runtime.base import (
    Probabilities,
    as_batch,
    check_shapes,
    native_code,
    not_runnable,
    only,
    wrong_batch,
)

ONNX_BATCH = 64
"""Faces at once where an ONNX model leaves the batch size open."""


class OnnxModel:
    format = "onnx"

    def __init__(self, content: bytes, name: str, threads: int) -> None:
        onnxruntime = import_onnxruntime()
        self.runtime = f"ONNX Runtime {onnxruntime.__version__}"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        # onnxruntime's exceptions share no base class of its own
        except Exception as error:
            raise not_runnable(name, self.runtime, error) from error
        given = only(name, "inputs", self._session.get_inputs())
        output = only(name, "outputs", self._session.get_outputs())
        self._batch = check_shapes(name, given.shape, output.shape)
        if self._batch not in (None, 1):
            raise wrong_batch(name, self._batch)
        if given.type != "tensor(float)":
            raise FerEdgeError(
                f"{name} takes {given.type}, not tensor(float)", "export it with fer-edge"
            )
        self._input = given.name
        self.classes = int(output.shape[-1])

    def probabilities(self, faces: npt.NDArray[np.uint8]) -> Probabilities:
        pixels = as_batch(faces).astype(np.float32)
        result = np.empty((len(pixels), self.classes), np.float32)
        step = self._batch or ONNX_BATCH
        for start in range(0, len(pixels), step):
            part = pixels[start : start + step]
            result[start : start + step] = self._session.run(None, {self._input: part})[0]
        return result


def import_onnxruntime() -> Any:
    require_extra("onnxruntime", "export")
    with native_code("onnxruntime"):
        import onnxruntime
    return onnxruntime
