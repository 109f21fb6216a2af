"""The model files that an export can make, and what is asked of each."""

from __future__ import annotations

from fer_edge.bundle import (
    DYNAMIC_TFLITE,
    FLOAT16_TFLITE,
    FLOAT_ONNX,
    FLOAT_TFLITE,
    INT8_ONNX,
    INT8_TFLITE,
)
from fer_edge.errors import FerEdgeError

EXACT = (FLOAT_TFLITE, FLOAT_ONNX)
"""Files that compute what the network does, up to float32's rounding; all others lose something."""
QUANTIZED = (INT8_TFLITE, INT8_ONNX)
"""Files that calibration and the ladder's remedies change; all others are the trained network's."""
SLIM = (INT8_TFLITE,)
DEFAULT = (*SLIM, FLOAT_TFLITE, INT8_ONNX, FLOAT_ONNX)


def is_exact(member: str) -> bool:
    """Whether a file must agree with Keras to rounding; otherwise the gate judges what it loses."""
    return member in EXACT


def choose_formats(*, slim: bool, float16: bool, dynamic: bool) -> tuple[str, ...]:
    """The files of a bundle, by the options of ``fer-edge export``.

    Raises:
        FerEdgeError: options that contradict each other.
    """
    more = {FLOAT16_TFLITE: float16, DYNAMIC_TFLITE: dynamic}
    chosen = tuple(member for member, wanted in more.items() if wanted)
    if slim and chosen:
        raise FerEdgeError(
            f"--slim ships the int8 TFLite alone, without {', '.join(chosen)}",
            "leave one of the options out",
        )
    return SLIM if slim else (*DEFAULT, *chosen)
