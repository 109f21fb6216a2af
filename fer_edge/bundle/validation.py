"""Values against a JSON Schema, in the few words that the manifest's schema uses.

A device checks a manifest at every start; the libraries that know all of JSON Schema would cost it
more time and memory than everything else about the bundle.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from fer_edge.printable import has_controls

Schema = Mapping[str, Any]

_KINDS: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def problem(value: Any, schema: Schema, definitions: Mapping[str, Schema], name: str) -> str | None:
    """What is wrong with a value, in a few words that name the place; None where nothing is.

    Beyond the schema, no entry may have a control character in its name, which is printed.

    Args:
        value: as ``json.loads`` gives it.
        schema: type, enum, const, minimum, maximum, pattern (of the whole string), minLength,
            maxLength, minItems, maxItems, uniqueItems, items, required, properties,
            additionalProperties, anyOf, and $ref into ``definitions``.
        definitions: the schema's ``$defs``.
        name: of the value.
    """
    if "$ref" in schema:
        schema = definitions[schema["$ref"].removeprefix("#/$defs/")]
    if "anyOf" in schema:
        found = [problem(value, each, definitions, name) for each in schema["anyOf"]]
        return None if None in found else found[0]
    if "const" in schema and value != schema["const"]:
        return f"{name} is not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{name} is none of {', '.join(map(repr, schema['enum']))}"
    if "type" in schema and not _is(value, schema["type"]):
        return f"{name} is no {schema['type']}"
    if isinstance(value, dict):
        return _object(value, schema, definitions, name)
    if isinstance(value, list):
        return _array(value, schema, definitions, name)
    if isinstance(value, str):
        return _string(value, schema, name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number(value, schema, name)
    return None


def _is(value: Any, kind: str) -> bool:
    # a bool is an int to Python, and not to JSON
    return isinstance(value, _KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _object(
    value: dict[str, Any], schema: Schema, definitions: Mapping[str, Schema], name: str
) -> str | None:
    if odd := [key for key in value if has_controls(key)]:
        return f"{name} has an entry of the name {odd[0][:40]!a}"
    known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    for key in schema.get("required", ()):
        if key not in value:
            return f"{name} has no '{key}'"
    for key, item in value.items():
        of = known.get(key, others)
        if of is False:
            return f"{name} has an unknown entry {key[:40]!a}"
        place = f"{name}.{key}" if key.isidentifier() else f"{name}[{key[:40]!a}]"
        if of is not True and (found := problem(item, of, definitions, place)):
            return found
    return None


def _array(
    value: list[Any], schema: Schema, definitions: Mapping[str, Schema], name: str
) -> str | None:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf):
        return f"{name} has {len(value)} items"
    for index, item in enumerate(value):
        if found := problem(item, schema.get("items", {}), definitions, f"{name}[{index}]"):
            return found
    if schema.get("uniqueItems") and len(set(value)) < len(value):
        return f"{name} has an item twice"
    return None


def _string(value: str, schema: Schema, name: str) -> str | None:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", math.inf):
        return f"{name} has {len(value)} characters"
    if "pattern" in schema and not re.fullmatch(schema["pattern"], value):
        return f"{name} is not as it must be, got {value[:40]!a}"
    return None


def _number(value: float, schema: Schema, name: str) -> str | None:
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    if not low <= value <= high:
        return f"{name} is not from {low} to {high}, got {str(value)[:40]}"
    return None
