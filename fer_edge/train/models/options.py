"""Options of the networks' builders: their ranges, and a recipe's values checked against them."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Annotated, Any, get_type_hints

from pydantic import Field, TypeAdapter, ValidationError

from fer_edge.errors import FerEdgeError, nearest

Count = Annotated[int, Field(ge=1)]
"""Of channels or blocks."""
Rate = Annotated[float, Field(ge=0, lt=1)]
"""Of what dropout drops, or the momentum of moving averages."""


def check(builder: Callable[..., Any], name: str, options: dict[str, Any], given: str) -> None:
    """Hold a recipe's options against the annotations of a builder's parameters.

    Args:
        builder: a function of options.
        name: of its model.
        options: by name.
        given: the parameter that is no option.

    Raises:
        FerEdgeError: an option that the builder does not take, or a value of another type or out
            of range.
    """
    known = [key for key in inspect.signature(builder).parameters if key != given]
    kinds = get_type_hints(builder, include_extras=True)
    for key, value in options.items():
        if key not in known:
            raise FerEdgeError(
                f"recipe: model '{name}' has no option '{key}'",
                nearest(key, known) or f"it takes {', '.join(known)}",
            )
        try:
            # as JSON, where a list is a tuple, and strictly: true is no 1, and "8" no 8
            TypeAdapter(kinds[key]).validate_json(json.dumps(value, default=str), strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            raise FerEdgeError(
                f"recipe: model '{name}': {key}: {first['msg'].lower()}, got {value!r}",
                "see Networks in docs/training.md",
            ) from error


def built(builder: Callable[..., Any], name: str, **arguments: Any) -> Any:
    """What a builder makes of options that were checked.

    Raises:
        FerEdgeError: Keras refuses them together.
    """
    try:
        return builder(**arguments)
    except (ValueError, TypeError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise FerEdgeError(
            f"recipe: model '{name}' cannot be built: {reason}", "see Networks in docs/training.md"
        ) from error
