"""TOML files that people write, recipes and budgets, checked against a schema."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from fer_edge.errors import FerEdgeError, nearest

Schema = TypeVar("Schema", bound=BaseModel)


def parse_toml(
    schema: type[Schema], text: str, source: str, *, example: str, values: str
) -> Schema:
    """Read TOML into a schema that forbids unknown keys.

    Args:
        schema: what the file must hold.
        text: the file's content.
        source: names the file in errors, such as ``recipe my.toml``.
        example: hint when the text is not TOML.
        values: hint when a value has the wrong type or is out of range.

    Raises:
        FerEdgeError: one line about the first problem; an unknown key suggests the nearest known.
    """
    return check_toml(schema, read_toml(text, source, example=example), source, values=values)


def read_toml(text: str, source: str, *, example: str) -> dict[str, Any]:
    """Parse TOML; arguments as those of ``parse_toml``.

    Raises:
        FerEdgeError: it is not TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FerEdgeError(f"{source} is not valid TOML: {error}", example) from error


def check_toml(
    schema: type[Schema], content: dict[str, Any], source: str, *, values: str
) -> Schema:
    """Take what was parsed into a schema; arguments and errors as those of ``parse_toml``."""
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = _keys(schema, first["loc"][:-1])
            hint = nearest(str(first["loc"][-1]), known) or f"known keys: {', '.join(known)}"
            raise FerEdgeError(f"{source}: unknown key '{where}'", hint) from error
        raise FerEdgeError(
            f"{source}: {where}: {first['msg'].lower()}, got {first['input']!r}", values
        ) from error


def _keys(schema: type[BaseModel], path: Iterable[Any]) -> list[str]:
    """The keys of the table at ``path``."""
    for part in path:
        annotation = schema.model_fields[str(part)].annotation
        # an optional table is a union with None
        schema = next(
            kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)
        )
    return list(schema.model_fields)
