"""One small interface over the interpreters: LiteRT, tflite_runtime, ONNX Runtime, Keras.

The device, the gate and evaluation run every model through it. A model takes raw pixels in 0..255;
quantized inputs and outputs are handled here and nowhere else.
"""

from __future__ import annotations

from pathlib import Path

from fer_edge.errors import FerEdgeError
from fer_edge.runtime.base import Model, Probabilities
from fer_edge.runtime.keras_model import KerasModel
from fer_edge.runtime.onnx_model import OnnxModel, import_onnxruntime
from fer_edge.runtime.tflite_model import TFLiteModel, open_tflite, tflite_module

__all__ = ["Model", "Probabilities", "import_runtime", "load_model", "open_tflite"]


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
            return KerasModel(path)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise FerEdgeError(
                f"cannot read the model {path}: {(error.strerror or '').lower()}",
                "give a file that you may read",
            ) from error
    if content[4:8] == b"TFL3":
        return TFLiteModel(content, name, threads, reference_kernels)
    if name.endswith(".onnx") or (isinstance(path, bytes) and content[:1] == b"\x08"):
        return OnnxModel(content, name, threads)
    raise FerEdgeError(
        f"{name} is not a model that can be run", "give a .tflite, .onnx or .keras file"
    )


def import_runtime(name: str) -> None:
    """Import what ``load_model`` needs for a file of this name, ahead of it.

    Raises:
        FerEdgeError: the runtime is not installed, or does not load.
    """
    if name.endswith(".tflite"):
        tflite_module()
    elif name.endswith(".onnx"):
        import_onnxruntime()
