"""What a network takes on a Raspberry Pi, where that was counted of the very same one."""

from __future__ import annotations

import tomllib
from pathlib import Path

import fer_edge
from fer_edge.export.source import Source
from fer_edge.instructions import PROCESSORS, counted, read_instructions

RECIPES = Path(fer_edge.__file__).with_name("train") / "recipes"
"""Of the networks that were counted."""


def count_instructions(source: Source, *, mixed: bool) -> dict[str, dict[str, float]]:
    """Instructions for one face, counted in emulation.

    A recipe's name says little where its network was changed, so its table of the model must be the
    one that was counted.

    Args:
        source: the run.
        mixed: some layers of the int8 model compute in float, which nobody counted.

    Returns:
        By processor ``float32`` and ``int8``, as far as they are known.
    """
    recipe = RECIPES / f"{source.recipe['name']}.toml"
    if not recipe.is_file():
        return {}
    known = tomllib.loads(recipe.read_text(encoding="utf-8"))
    if known.get("model") != source.recipe.get("model"):
        return {}
    counts, found = read_instructions(), {}
    for processor, name in PROCESSORS.items():
        exact, int8 = counted(known["name"], processor, counts)
        kinds = {"float32": exact, "int8": None if mixed else int8}
        if any(kinds.values()):
            found[name] = {kind: count for kind, count in kinds.items() if count is not None}
    return found
