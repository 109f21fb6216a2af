"""The ``.fer`` file: what a device needs to run a model, and the proof that it is the right one."""

from fer_edge.bundle.golden import golden_set, pack_golden, prove, verify_golden
from fer_edge.bundle.manifest import INPUT, SCHEMA, Manifest, json_schema
from fer_edge.bundle.opening import (
    DYNAMIC_TFLITE,
    FLOAT16_TFLITE,
    FLOAT_ONNX,
    FLOAT_TFLITE,
    GOLDEN,
    INT8_160_TFLITE,
    INT8_ONNX,
    INT8_TFLITE,
    MANIFEST,
    MEMBERS,
    MODEL_CARD,
    REQUIRED,
    SIGNATURE,
    Bundle,
    open_bundle,
    write_bundle,
)

__all__ = [
    "DYNAMIC_TFLITE",
    "FLOAT16_TFLITE",
    "FLOAT_ONNX",
    "FLOAT_TFLITE",
    "GOLDEN",
    "INPUT",
    "INT8_160_TFLITE",
    "INT8_ONNX",
    "INT8_TFLITE",
    "MANIFEST",
    "MEMBERS",
    "MODEL_CARD",
    "REQUIRED",
    "SCHEMA",
    "SIGNATURE",
    "Bundle",
    "Manifest",
    "golden_set",
    "json_schema",
    "open_bundle",
    "pack_golden",
    "prove",
    "verify_golden",
    "write_bundle",
]
