"""``fer-edge models``, and the names that other commands take for a bundle's path."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fer_edge.shipped import find_shipped, shipped_models


def by_name(path: Path | None) -> Path | None:
    """An argument's callback: a shipped model's name becomes its bundle's path."""
    return None if path is None else find_shipped(path)


def all_by_name(paths: list[Path] | None) -> list[Path] | None:
    """The same for several."""
    return None if paths is None else [find_shipped(path) for path in paths]


def text_by_name(path: str | None) -> str | None:
    """The same for an option that is a text."""
    return None if path is None else str(find_shipped(Path(path)))


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the models that come with the package: size, cost, measured figures, who signed them.

    Other commands take them by name.

    Example: [bold]fer-edge models[/]
    Example: [bold]fer-edge run edge-small --camera[/]
    """
    from fer_edge.bundle.catalogue import catalogue, print_catalogue

    print_catalogue(catalogue(shipped_models()), as_json=as_json)
