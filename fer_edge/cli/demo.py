"""``fer-edge demo``: all of it, small."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for what is made.")] = Path(
        "demo"
    ),
) -> None:
    """Show the whole pipeline, small: nothing to download, under two minutes.

    Example: [bold]fer-edge demo[/]
    """
    from fer_edge.demo import run_demo

    run_demo(output)
