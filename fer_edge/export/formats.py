"""The model files that an export can make, and what is asked of each."""

from __future__ import annotations

from fer_edge.bundle import (
    FLOAT_ONNX,
    FLOAT_TFLITE,
    INT8_ONNX,
    INT8_TFLITE,
)

EXACT = (FLOAT_TFLITE, FLOAT_ONNX)
"""Files that compute what the network does, up to float32's rounding; all others lose something."""
QUANTIZED = (INT8_TFLITE, INT8_ONNX)
"""Files that calibration and the ladder's remedies change; all others are the trained network's."""
SLIM = (INT8_TFLITE,)
DEFAULT = (*SLIM, FLOAT_TFLITE, INT8_ONNX, FLOAT_ONNX)


def is_exact(member: str) -> bool:
    """Whether a file must agree with Keras to rounding; otherwise the gate judges what it loses."""
    return member in EXACT
