"""What a bundle says of itself: the fields, their JSON Schema, and which versions are read."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from fer_edge.bundle import shapes
from fer_edge.bundle.shapes import FRAME_INPUT, INPUT
from fer_edge.bundle.validation import problem
from fer_edge.errors import FerEdgeError
from fer_edge.face import CropRule

VERSION = (1, 3)
SCHEMA = "{}.{}".format(*VERSION)
"""Version of the manifest that this package writes, MAJOR.MINOR.

A reader takes every older version, and newer minor ones, of which it ignores what it does not know.
So a minor version adds what a device may do without; all else raises the major one.
"""

MANIFEST_LIMIT = 2 << 20
"""Bytes of the largest manifest that is parsed; ours have about 20,000, one of 100 labels a million
and more."""
DEEPEST = 12
"""Levels of the most nested manifest that is taken; ours has seven."""


def _is(what: str, shape: shapes.Shape) -> dict[str, Any]:
    """A field's metadata: its JSON Schema."""
    return {"schema": shapes.described(what, shape)}


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself; the meaning of each field stands in its JSON Schema."""

    name: str = field(metadata=_is("of the recipe that made the model", shapes.NAME))
    labels: tuple[str, ...] = field(
        metadata=_is("class names in the order of the model's output", shapes.LABELS)
    )
    crop: CropRule = field(metadata=_is("from a face box to the model's square", shapes.CROP))
    golden_tolerance: float = field(
        metadata=_is(
            "largest difference in probability from the golden outputs that a runtime may show",
            shapes.TOLERANCE,
        )
    )
    recipe: dict[str, Any] = field(
        metadata=_is("name of the recipe, and SHA-256 of its resolved text", shapes.RECIPE)
    )
    dataset: dict[str, Any] = field(
        metadata=_is(
            "what the model was trained and measured on, and which split served what",
            shapes.DATASET,
        )
    )
    metrics: dict[str, Any] = field(
        metadata=_is(
            "figures on the held-out splits; unleaked: without images that training saw",
            shapes.METRICS,
        )
    )
    gate: dict[str, Any] = field(
        metadata=_is("the budget, and the gate's verdict by file that is not exact", shapes.GATE)
    )
    tools: dict[str, str] = field(
        metadata=_is("name and version of what made the bundle", shapes.TOOLS)
    )
    export: dict[str, Any] = field(
        default_factory=dict, metadata=_is("how the network became int8", shapes.OPEN)
    )
    files: dict[str, str] = field(
        default_factory=dict, metadata=_is("SHA-256 of every other member", shapes.FILES)
    )
    schema: str = field(
        default=SCHEMA,
        metadata=_is("MAJOR.MINOR of this structure; 1.0 wrote the number 1", shapes.VERSION),
    )
    input: dict[str, Any] = field(
        default_factory=lambda: dict(INPUT),
        metadata=_is(
            "what the model takes: one face, or a detector's frame; 0 is black",
            {"anyOf": [{"const": INPUT}, {"const": FRAME_INPUT}]},
        ),
    )
    description: str = field(
        default="", metadata=_is("what the recipe says of the model; since 1.1", shapes.TEXT)
    )
    uncertain: dict[str, Any] = field(
        default_factory=dict,
        metadata=_is(
            "under which probability an answer is called uncertain; empty where that was not "
            "chosen; since 1.3",
            shapes.UNCERTAIN,
        ),
    )

    @property
    def min_confidence(self) -> float | None:
        """The probability that an expression needs to be named; None where none was chosen."""
        return self.uncertain.get("threshold")

    task: str = field(
        default="classify",
        metadata=_is(
            "to name a face's expression, or to find the faces of a frame; since 1.3",
            {"enum": ["classify", "detect"]},
        ),
    )
    detector: dict[str, Any] = field(
        default_factory=dict,
        metadata=_is("how a detector's outputs are read; since 1.3", shapes.DETECTOR),
    )

    def to_json(self) -> str:
        """Sorted keys, so that the same manifest gives the same bytes."""
        return _canonical(asdict(self))


LATER = ("description", "uncertain", "task", "detector")
"""Fields that 1.0 did not have; an older manifest lacks them."""


def json_schema() -> dict[str, Any]:
    """The manifest's JSON Schema (2020-12), from the fields' own definitions."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"manifest.json of a fer-edge bundle, version {SCHEMA}",
        "type": "object",
        "properties": {each.name: each.metadata["schema"] for each in fields(Manifest)},
        "required": sorted(each.name for each in fields(Manifest) if each.name not in LATER),
        "additionalProperties": False,
        "$defs": shapes.DEFINITIONS,
    }


def parse_manifest(written: bytes) -> tuple[Manifest, tuple[str, ...]]:
    """Read ``manifest.json``.

    Args:
        written: its bytes.

    Returns:
        The manifest, and the names of entries that a newer minor version added, which are ignored.

    Raises:
        ValueError: it is damaged; the message says how.
        FerEdgeError: it is of another major version, or for other pictures; the message goes on
            behind "bundle PATH".
    """
    if len(written) > MANIFEST_LIMIT:
        raise ValueError(f"its manifest has {len(written):,} bytes")
    try:
        stored = json.loads(written.decode(), parse_constant=_refuse_constant)
        same = _depth(stored) <= DEEPEST and _canonical(stored).encode() == written
    except (ValueError, RecursionError, OverflowError) as error:
        raise ValueError("its manifest is not JSON") from error
    if not isinstance(stored, dict) or not same:
        raise ValueError("its manifest is not as it was written")
    version = _version(stored)
    known = {each.name for each in fields(Manifest)}
    ignored: tuple[str, ...] = ()
    if version > VERSION:
        ignored = tuple(ascii(name)[1:-1][:40] for name in sorted(set(stored) - known))
        stored = {name: value for name, value in stored.items() if name in known}
    _check_input(stored.get("input"), stored.get("task", "classify"))
    if found := problem(stored, json_schema(), shapes.DEFINITIONS, "its manifest"):
        raise ValueError(found)
    try:
        crop = CropRule.from_dict(stored["crop"])
    except FerEdgeError as error:
        raise ValueError(error.message) from error
    values = {
        **stored,
        "labels": tuple(stored["labels"]),
        "crop": crop,
        "golden_tolerance": float(stored["golden_tolerance"]),
        "schema": "{}.{}".format(*version),
    }
    return Manifest(**values), ignored


def _version(stored: dict[str, Any]) -> tuple[int, int]:
    given = stored.get("schema")
    # 1.0 wrote a number
    text = f"{given}.0" if type(given) is int else given
    found = re.fullmatch(r"([0-9]{1,4})\.([0-9]{1,4})", text) if isinstance(text, str) else None
    if found is None:
        raise ValueError("its manifest has no schema version")
    version = int(found[1]), int(found[2])
    if version[0] != VERSION[0]:
        raise FerEdgeError(
            f"has manifest schema {found[0]}, this fer-edge reads {VERSION[0]}.x",
            "update fer-edge" if version > VERSION else "export the model again",
        )
    return version


def _check_input(given: Any, task: Any) -> None:
    # another input is no damage: it is a model for something else
    if isinstance(given, dict) and given != (FRAME_INPUT if task == "detect" else INPUT):
        raise FerEdgeError(
            f"takes pictures of {ascii(given.get('shape'))[:60]}, "
            f"this fer-edge gives {INPUT['shape']}",
            "export a model made for 48×48 grayscale faces",
        )


def _canonical(stored: Any) -> str:
    text = json.dumps(stored, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return text + "\n"


def _depth(stored: Any) -> int:
    levels, level = 0, [stored]
    while level:
        levels += 1
        if levels > DEEPEST:
            return levels
        level = [
            item
            for each in level
            if isinstance(each, dict | list)
            for item in (each.values() if isinstance(each, dict) else each)
        ]
    return levels


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
