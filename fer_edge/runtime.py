"""One small interface over the interpreters: LiteRT, tflite_runtime, ONNX Runtime, Keras.

The device, the gate and evaluation run every model through it. A model takes raw pixels in 0..255;
quantized inputs and outputs are handled here and nowhere else.
"""

from __future__ import annotations

from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fer_edge.chatter import import_keras, silenced_stderr
from fer_edge.errors import FerEdgeError, require_extra
from fer_edge.face import FACE_SIZE

Probabilities = npt.NDArray[np.float32]
"""(N, classes) float32, rows sum to 1 up to the output's quantization step."""


class Model(Protocol):
    """A classifier of faces."""

    format: str
    """``tflite``, ``onnx`` or ``keras``."""
    runtime: str
    """Name and version of what computes, such as "LiteRT 2.3.0"."""
    classes: int
    """Width of the output."""

    def probabilities(self, faces: npt.NDArray[np.uint8]) -> Probabilities:
        """Classify faces, (N, 48, 48) or (N, 48, 48, 1) uint8; returns (N, classes) float32."""
        ...


def load_model(path: Path | str | bytes, *, threads: int = 1, reference: bool = False) -> Model:
    """Open a model file, or a model's bytes, with the runtime that fits it.

    Args:
        path: a ``.tflite``, ``.onnx`` or ``.keras`` file, or the content of one of the first two.
        threads: of the interpreter; Keras uses its backend's own.
        reference: TFLite only: the reference kernels, which give the same bits on every processor,
            instead of the fast ones.

    Raises:
        FerEdgeError: not a model, a model for other pictures, or its runtime is not installed.
    """
    if isinstance(path, bytes):
        content, name = path, "the model"
    else:
        path = Path(path)
        if not path.is_file():
            raise FerEdgeError(f"no model file {path}", "give a .tflite, .onnx or .keras file")
        name = str(path)
        if path.suffix == ".keras":
            return _KerasModel(path)
        content = path.read_bytes()
    if content[4:8] == b"TFL3":
        return _TFLiteModel(content, name, threads, reference)
    if name.endswith(".onnx") or (isinstance(path, bytes) and content[:1] == b"\x08"):
        return _OnnxModel(content, name, threads)
    raise FerEdgeError(
        f"{name} is not a model that can be run", "give a .tflite, .onnx or .keras file"
    )


class _TFLiteModel:
    format = "tflite"

    def __init__(self, content: bytes, name: str, threads: int, reference: bool) -> None:
        module, self.runtime = _tflite_module()
        kind = module.OpResolverType
        resolver = kind.BUILTIN_REF if reference else kind.AUTO
        try:
            with silenced_stderr():
                self._interpreter = module.Interpreter(
                    model_content=content,
                    num_threads=threads,
                    experimental_op_resolver_type=resolver,
                )
                self._interpreter.allocate_tensors()
            (self._input,) = self._interpreter.get_input_details()
            (self._output,) = self._interpreter.get_output_details()
        except (ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise FerEdgeError(
                f"{name} cannot be run by {self.runtime}: {reason}",
                "the file is damaged or made for another runtime; export it again",
            ) from error
        self._batch = _check_shapes(name, self._input["shape"], self._output["shape"])
        self.classes = int(self._output["shape"][-1])

    def probabilities(self, faces: npt.NDArray[np.uint8]) -> Probabilities:
        faces = faces.reshape(-1, FACE_SIZE, FACE_SIZE, 1)
        result = np.empty((len(faces), self.classes), np.float32)
        invoke, index = self._interpreter.invoke, self._output["index"]
        pixels = _quantized(faces, self._input)
        for row in range(len(faces)):
            self._interpreter.set_tensor(self._input["index"], pixels[row : row + 1])
            invoke()
            result[row] = _dequantized(self._interpreter.get_tensor(index)[0], self._output)
        return result


class _OnnxModel:
    format = "onnx"

    def __init__(self, content: bytes, name: str, threads: int) -> None:
        require_extra("onnxruntime", "export")
        import onnxruntime

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
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise FerEdgeError(
                f"{name} cannot be run by {self.runtime}: {reason}",
                "the file is damaged or made for another runtime; export it again",
            ) from error
        (given,), (wanted,) = self._session.get_outputs(), self._session.get_inputs()
        self._name = wanted.name
        self._batch = _check_shapes(name, wanted.shape, given.shape)
        self.classes = int(given.shape[-1])

    def probabilities(self, faces: npt.NDArray[np.uint8]) -> Probabilities:
        pixels = faces.reshape(-1, FACE_SIZE, FACE_SIZE, 1).astype(np.float32)
        step = self._batch or len(pixels)
        parts = [
            self._session.run(None, {self._name: pixels[start : start + step]})[0]
            for start in range(0, len(pixels), max(step, 1))
        ]
        if not parts:
            return np.empty((0, self.classes), np.float32)
        return np.concatenate(parts)


class _KerasModel:
    format = "keras"

    def __init__(self, path: Path) -> None:
        keras = import_keras()
        self.runtime = f"Keras {keras.__version__} on {keras.config.backend()}"
        try:
            self.network: Any = keras.models.load_model(path, compile=False)
        # what a damaged archive raises depends on the byte that is wrong
        except Exception as error:
            raise FerEdgeError(
                f"{path} is not a Keras model: {str(error).splitlines()[0]}",
                "the file is damaged or not made by Keras 3; train again",
            ) from error
        _check_shapes(str(path), self.network.input_shape, self.network.output_shape)
        self.classes = int(self.network.output_shape[-1])

    def probabilities(self, faces: npt.NDArray[np.uint8]) -> Probabilities:
        pixels = faces.reshape(-1, FACE_SIZE, FACE_SIZE, 1)
        if not len(pixels):
            return np.empty((0, self.classes), np.float32)
        result: Probabilities = self.network.predict(pixels, batch_size=128, verbose=0)
        return result


def _tflite_module() -> tuple[Any, str]:
    """LiteRT, else tflite_runtime: whichever the system has."""
    if find_spec("ai_edge_litert") is not None:
        with silenced_stderr():
            from ai_edge_litert import interpreter
        return interpreter, f"LiteRT {metadata.version('ai-edge-litert')}"
    if find_spec("tflite_runtime") is not None:
        from tflite_runtime import interpreter

        return interpreter, f"tflite-runtime {metadata.version('tflite-runtime')}"
    require_extra("ai_edge_litert", "device")
    raise AssertionError("unreachable")


def _check_shapes(name: str, given: Any, result: Any) -> int | None:
    """The fixed batch size, or None; FerEdgeError unless pixels go in and classes come out."""
    sides = [int(side) if isinstance(side, int | np.integer) else None for side in given]
    if len(sides) != 4 or sides[1:] != [FACE_SIZE, FACE_SIZE, 1]:
        shown = "×".join("?" if side is None else str(side) for side in sides[1:])
        raise FerEdgeError(
            f"{name} takes pictures of {shown}, not {FACE_SIZE}×{FACE_SIZE}×1",
            "export a model made for 48×48 grayscale faces",
        )
    if len(result) != 2:
        raise FerEdgeError(
            f"{name} gives an output with {len(result)} axes, not a probability for each class",
            "export a classifier of expressions",
        )
    return sides[0] if sides[0] and sides[0] > 0 else None


def _quantized(faces: npt.NDArray[np.uint8], tensor: dict[str, Any]) -> npt.NDArray[Any]:
    """Raw pixels as the input tensor wants them."""
    scale, zero = tensor["quantization"]
    dtype = np.dtype(tensor["dtype"])
    if scale == 0:
        return faces.astype(dtype)
    if dtype == np.uint8 and scale == 1 and zero == 0:
        return faces
    limits = np.iinfo(dtype)
    # one entry for each of the 256 values, looked up
    table = np.clip(np.round(np.arange(256) / scale + zero), limits.min, limits.max)
    return table.astype(dtype)[faces]


def _dequantized(values: npt.NDArray[Any], tensor: dict[str, Any]) -> Probabilities:
    scale, zero = tensor["quantization"]
    if scale == 0:
        return values.astype(np.float32)
    return (values.astype(np.float32) - zero) * np.float32(scale)
