"""The shapes of what a manifest holds, as parts of its JSON Schema.

What a device goes by is strict. What people read, figures and how they came about, may hold more
than is described, so that an export can say more without a new version of the format.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fer_edge.face import FACE_SIZE
from fer_edge.printable import CONTROLS, LONGEST_NAME

Shape = dict[str, Any]

INPUT = {"shape": [1, FACE_SIZE, FACE_SIZE, 1], "dtype": "uint8", "colour": "grayscale"}
"""What a model takes: one face, 0 is black and 255 white."""
FRAME_INPUT = {**INPUT, "shape": [1, 240, 320, 1]}
"""What a detector's first file takes: one frame. Its other files take the same in other sizes."""
MOST_TOLERANCE = 0.25
"""Of ``golden_tolerance``: beyond it a golden set proves nothing."""


def open_object(required: Sequence[str] = (), **properties: Any) -> Shape:
    """An object that may hold more than these properties."""
    shape: Shape = {"type": "object", "properties": properties}
    return {**shape, "required": list(required)} if required else shape


def described(what: str, shape: Shape) -> Shape:
    """A shape with its description."""
    return {"description": what, **shape}


TEXT: Shape = {"type": "string", "maxLength": 1000, "pattern": f"^[^{CONTROLS}]*$"}
NAME: Shape = {**TEXT, "minLength": 1, "maxLength": LONGEST_NAME}
HASH: Shape = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
COUNT: Shape = {"type": "integer", "minimum": 0}
NUMBER: Shape = {"type": "number", "minimum": -1e308, "maximum": 1e308}
NAMES: Shape = {"type": "array", "items": NAME}
OPEN: Shape = {"type": "object"}
ESTIMATE: Shape = {"$ref": "#/$defs/estimate"}
REPORT: Shape = {"$ref": "#/$defs/report"}
BY_CLASS: Shape = {"$ref": "#/$defs/by_class"}
VERDICT: Shape = {"$ref": "#/$defs/verdict"}
NULL: Shape = {"type": "null"}

DEFINITIONS: dict[str, Any] = {
    "estimate": {
        "description": "a figure with its 95% interval, by bootstrap; Wilson's of a share 0 or 1",
        **open_object(("value", "low", "high"), value=NUMBER, low=NUMBER, high=NUMBER),
    },
    "by_class": {
        "description": "an estimate by label; null for a class that does not occur",
        "type": "object",
        "additionalProperties": {"anyOf": [ESTIMATE, NULL]},
    },
    "report": {
        "description": "how a model did on one set of labelled faces; shares are in 0..1",
        **open_object(
            ("images", "accuracy", "macro_f1"),
            images=COUNT,
            labels=NAMES,
            accuracy=ESTIMATE,
            macro_f1=ESTIMATE,
            calibration_error=ESTIMATE,
            precision=BY_CLASS,
            recall=BY_CLASS,
            confusion={
                "description": "counts; rows are the true classes",
                "type": "array",
                "items": {"type": "array", "items": COUNT},
            },
        ),
    },
    "drop": {
        "description": "what int8 lost against float on the same images, as shares in 0..1",
        **open_object(
            ("accuracy", "agreement"),
            accuracy=ESTIMATE,
            recall=BY_CLASS,
            macro_f1=ESTIMATE,
            calibration_error=ESTIMATE,
            agreement=NUMBER,
            mean_difference=NUMBER,
            largest_difference=NUMBER,
            lost=COUNT,
            won=COUNT,
            p_value=NUMBER,
        ),
    },
    "verdict": {
        "description": "the gate's answer for one file, in percentage points and percent",
        **open_object(
            ("passed", "checks"),
            passed={"type": "boolean"},
            checks={
                "type": "array",
                "items": open_object(
                    ("what", "measured", "limit", "verdict"),
                    what=NAME,
                    measured=ESTIMATE,
                    limit=NUMBER,
                    verdict={"enum": ["pass", "warn", "fail"]},
                    scope=NAME,
                ),
            },
            unchecked=NAMES,
            unchecked_unleaked=NAMES,
        ),
    },
}

LABELS: Shape = {**NAMES, "minItems": 1, "maxItems": 1000, "uniqueItems": True}
_SHIFT = {"type": "number", "minimum": -1, "maximum": 1}
CROP: Shape = {
    "type": "object",
    "properties": {
        "detector": described("whose boxes the rule is for", NAME),
        "scale": described("side of the square over the longer side of the box", NUMBER),
        "offset_x": described("shift of its centre to the right, in the same unit", _SHIFT),
        "offset_y": described("shift of its centre downwards, in the same unit", _SHIFT),
    },
    "required": ["detector"],
    "additionalProperties": False,
}
DETECTOR: Shape = {
    "type": "object",
    "properties": {
        "min_score": described(
            "by file, the score from which a detection counts",
            {"type": "object", "additionalProperties": {**NUMBER, "minimum": 0, "maximum": 1}},
        ),
        "sizes": described(
            "by file, columns and rows of the frames that it takes",
            {
                "type": "object",
                "additionalProperties": {
                    "type": "array",
                    "items": COUNT,
                    "minItems": 2,
                    "maxItems": 2,
                },
            },
        ),
        "strides": {"type": "array", "items": COUNT},
        "landmarks": NAMES,
    },
}
TOLERANCE: Shape = {"type": "number", "minimum": 0, "maximum": MOST_TOLERANCE}
RECIPE = open_object(
    name=NAME,
    sha256=HASH,
    network=described("SHA-256 of the trained network's file", HASH),
    head=described("which of several the model is of", NAME),
    base=described(
        "the finished network that was fine-tuned",
        open_object(
            ("name",),
            name=NAME,
            sha256=HASH,
            dataset=described("what that was trained on", open_object(name=NAME, fingerprint=HASH)),
        ),
    ),
)
DATASET = open_object(
    name=NAME,
    truth=described("what held-out images were judged by", NAME),
    fingerprint=HASH,
    train=NAMES,
    validation=NAMES,
    test=NAMES,
    drop_leaks={"type": "boolean"},
    division=described(
        "how it was divided anew; null or absent where its own splits served",
        {
            "anyOf": [
                open_object(
                    ("how", "leaky"),
                    how=NAME,
                    test_share=NUMBER,
                    seed=COUNT,
                    leaky={"type": "boolean"},
                    fingerprint=HASH,
                ),
                NULL,
            ]
        },
    ),
)
_DETECTION = open_object(
    ("int8",),
    int8=open_object(
        ("faces", "false_positives", "recall"),
        faces=COUNT,
        false_positives=open_object(("wanted",), wanted=NUMBER),
        recall=ESTIMATE,
    ),
)
METRICS = open_object(
    splits=NAMES,
    float=REPORT,
    float_unleaked={"anyOf": [REPORT, NULL]},
    int8=REPORT,
    int8_unleaked={"anyOf": [REPORT, NULL]},
    detection=described(
        "by file, how a detector did: faces found at so many false positives a frame",
        {"type": "object", "additionalProperties": _DETECTION},
    ),
    drop={"type": "object", "additionalProperties": {"$ref": "#/$defs/drop"}},
    drop_unleaked={"type": "object", "additionalProperties": {"$ref": "#/$defs/drop"}},
)
_SHARE: Shape = {"type": "number", "minimum": 0, "maximum": 1}
_NAMED = open_object(
    ("precision", "named"), splits=NAMES, images=COUNT, named=_SHARE, precision=_SHARE
)
UNCERTAIN = open_object(
    threshold=described("the probability that an expression needs to be named", _SHARE),
    aim=described("share of the named expressions that was to be right", _SHARE),
    chosen=described("what the threshold does where it was chosen", _NAMED),
    held_out=described("and where it had no say", {"anyOf": [_NAMED, NULL]}),
)
GATE: Shape = {
    "type": "object",
    "properties": {
        "budget": OPEN,
        "model.int8.tflite": VERDICT,
        "model.int8.onnx": VERDICT,
        "model.float16.tflite": VERDICT,
        "model.dynamic.tflite": VERDICT,
    },
}
TOOLS: Shape = {"type": "object", "additionalProperties": TEXT}
FILES: Shape = {"type": "object", "additionalProperties": HASH}
VERSION: Shape = {"anyOf": [{"type": "string", "pattern": "^1\\.[0-9]{1,4}$"}, {"const": 1}]}
