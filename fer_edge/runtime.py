"""One small interface over the interpreters: LiteRT, tflite_runtime, ONNX Runtime, Keras.

The device, the gate and evaluation run every model through it. A model takes raw pixels in 0..255;
quantized inputs and outputs are handled here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fer_edge.chatter import import_keras, silenced_stderr
from fer_edge.errors import FerEdgeError, require_extra
from fer_edge.face import FACE_SHAPE, FACE_SIZE
from fer_edge.tflite_check import check_tflite

ONNX_BATCH = 64
"""Faces at once where an ONNX model leaves the batch size open."""

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


def load_model(
    path: Path | str | bytes, *, threads: int = 1, reference_kernels: bool = False
) -> Model:
    """Open a model file, or a model's bytes, with the runtime that fits it.

    Args:
        path: a ``.tflite``, ``.onnx`` or ``.keras`` file, or the content of one of the first two.
        threads: of the interpreter; Keras uses its backend's own.
        reference_kernels: TFLite only: the slow kernels that give the same bits on every processor,
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
        try:
            content = path.read_bytes()
        except OSError as error:
            raise FerEdgeError(
                f"cannot read the model {path}: {(error.strerror or '').lower()}",
                "give a file that you may read",
            ) from error
    if content[4:8] == b"TFL3":
        return _TFLiteModel(content, name, threads, reference_kernels)
    if name.endswith(".onnx") or (isinstance(path, bytes) and content[:1] == b"\x08"):
        return _OnnxModel(content, name, threads)
    raise FerEdgeError(
        f"{name} is not a model that can be run", "give a .tflite, .onnx or .keras file"
    )


def import_runtime(name: str) -> None:
    """Import what ``load_model`` needs for a file of this name, ahead of it.

    Raises:
        FerEdgeError: the runtime is not installed.
    """
    if name.endswith(".tflite"):
        _tflite_module()
    elif name.endswith(".onnx"):
        _onnxruntime()


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
    module, runtime = _tflite_module()
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
        raise _not_runnable(name, runtime, error) from error
    return interpreter, runtime


class _TFLiteModel:
    format = "tflite"

    def __init__(self, content: bytes, name: str, threads: int, reference_kernels: bool) -> None:
        try:
            # the interpreter believes every offset and size in the file
            check_tflite(content)
        except ValueError as error:
            raise _not_runnable(name, _tflite_module()[1], error) from error
        self._interpreter, self.runtime = open_tflite(
            content, name, threads=threads, reference_kernels=reference_kernels
        )
        given = _only(name, "inputs", self._interpreter.get_input_details())
        output = _only(name, "outputs", self._interpreter.get_output_details())
        if _check_shapes(name, given["shape"], output["shape"]) != 1:
            raise _wrong_batch(name, given["shape"][0])
        self.classes = int(output["shape"][-1])
        # looked up once, since the rest runs for every face
        self._input, self._output = int(given["index"]), int(output["index"])
        self._dtype, self._pixels = np.dtype(given["dtype"]), _pixel_table(given)
        self._scale, self._zero = output["quantization"]

    def probabilities(self, faces: npt.NDArray[np.uint8]) -> Probabilities:
        faces = _as_batch(faces)[:, None]
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


class _OnnxModel:
    format = "onnx"

    def __init__(self, content: bytes, name: str, threads: int) -> None:
        onnxruntime = _onnxruntime()
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
            raise _not_runnable(name, self.runtime, error) from error
        given = _only(name, "inputs", self._session.get_inputs())
        output = _only(name, "outputs", self._session.get_outputs())
        self._batch = _check_shapes(name, given.shape, output.shape)
        if self._batch not in (None, 1):
            raise _wrong_batch(name, self._batch)
        if given.type != "tensor(float)":
            raise FerEdgeError(
                f"{name} takes {given.type}, not tensor(float)", "export it with fer-edge"
            )
        self._input = given.name
        self.classes = int(output.shape[-1])

    def probabilities(self, faces: npt.NDArray[np.uint8]) -> Probabilities:
        pixels = _as_batch(faces).astype(np.float32)
        result = np.empty((len(pixels), self.classes), np.float32)
        step = self._batch or ONNX_BATCH
        for start in range(0, len(pixels), step):
            part = pixels[start : start + step]
            result[start : start + step] = self._session.run(None, {self._input: part})[0]
        return result


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
                f"{path} is not a Keras model: {_first_line(error)}",
                "the file is damaged or not made by Keras 3; train again",
            ) from error
        given = _only(str(path), "inputs", self.network.inputs)
        output = _only(str(path), "outputs", self.network.outputs)
        _check_shapes(str(path), given.shape, output.shape)
        self.classes = int(output.shape[-1])

    def probabilities(self, faces: npt.NDArray[np.uint8]) -> Probabilities:
        pixels = _as_batch(faces)
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


def _onnxruntime() -> Any:
    require_extra("onnxruntime", "export")
    import onnxruntime

    return onnxruntime


def _as_batch(faces: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
    """(N, 48, 48, 1); a reshape alone would take four pictures of half the side for one."""
    if faces.dtype != np.uint8 or faces.shape[1:] not in (FACE_SHAPE, FACE_SHAPE[:2]):
        raise FerEdgeError(
            f"a model takes faces as (N, 48, 48) uint8, got {faces.shape} {faces.dtype}",
            "cut them out with fer_edge.face.crop_faces",
        )
    return faces.reshape(-1, *FACE_SHAPE)


def _check_shapes(name: str, given: Any, result: Any) -> int | None:
    """The fixed batch size, or None; FerEdgeError unless pixels go in and classes come out."""
    sides = [int(side) if isinstance(side, int | np.integer) else None for side in given]
    if len(sides) != 4 or sides[1:] != [FACE_SIZE, FACE_SIZE, 1]:
        raise FerEdgeError(
            f"{name} takes pictures of {_shown(sides[1:])}, not {FACE_SIZE}×{FACE_SIZE}×1",
            "export a model made for 48×48 grayscale faces",
        )
    if len(result) != 2 or not isinstance(result[1], int | np.integer) or result[1] < 1:
        raise FerEdgeError(
            f"{name} gives an output of shape {_shown(result)}, not a probability for each class",
            "export a classifier of expressions",
        )
    return sides[0] if sides[0] and sides[0] > 0 else None


def _shown(sides: Any) -> str:
    """Such as 48×48×1; a free side has a name, is negative or None, as each runtime likes."""
    fixed = (isinstance(side, int | np.integer) and side >= 0 for side in sides)
    return "×".join(
        str(side) if is_fixed else "?" for side, is_fixed in zip(sides, fixed, strict=True)
    )


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


def _only(name: str, what: str, tensors: Sequence[Any]) -> Any:
    if len(tensors) != 1:
        raise FerEdgeError(
            f"{name} has {len(tensors)} {what}, not 1", "export a classifier of single faces"
        )
    return tensors[0]


def _wrong_batch(name: str, size: Any) -> FerEdgeError:
    return FerEdgeError(
        f"{name} takes {size} faces at once", "export it with batch size 1, as fer-edge export does"
    )


def _not_runnable(name: str, runtime: str, error: Exception) -> FerEdgeError:
    return FerEdgeError(
        f"{name} cannot be run by {runtime}: {_first_line(error)}",
        "the file is damaged or made for another runtime; export it again",
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
