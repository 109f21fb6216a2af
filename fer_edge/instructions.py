"""Instructions of an inference, as counted in emulation: what a network costs without a board.

``instructions.json`` has those of every network of the package, untrained: a count follows from
shapes, types and operators. Trained files were within 0.3% of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fer_edge.files import read_json

PROCESSORS = {"cortex-a72": "A72", "cortex-a76": "A76"}
"""Of Raspberry Pi 4 and 5, as the emulator calls them."""
COUNTS = Path(__file__).with_name("instructions.json")
"""What ``benchmarks/arm/count.py --json`` wrote, by the names of the networks' recipes."""
_SAME_NETWORK = ("-ck48", "-fer2013", "-leaky")
"""Endings of names that stand for another dataset, head or protocol, not for another network."""


def read_instructions(target: Path = COUNTS) -> dict[str, dict[str, float]]:
    """Instructions of one inference, in emulation, of each model on each processor.

    Args:
        target: what ``benchmarks/arm/count.py --json`` wrote.

    Returns:
        Such as ``{"triwijoyo.int8": {"cortex-a72": 1.2e8}}``.
    """
    counts: dict[str, dict[str, float]] = {}
    for row in read_json(target).get("counts", []):
        counts.setdefault(row["model"], {})[row["processor"]] = row["all"]
    return counts


def counted(
    name: str, processor: str, instructions: Mapping[str, Mapping[str, float]]
) -> tuple[float | None, float | None]:
    """Instructions in float32 and in int8; of what was not counted, those of the same network.

    Args:
        name: of a recipe or a bundle.
        processor: as the emulator calls it.
        instructions: see ``read_instructions``.
    """
    names = [name, *(name.removesuffix(ending) for ending in _SAME_NETWORK)]

    def found(kind: str) -> float | None:
        counts = (instructions.get(f"{each}.{kind}", {}).get(processor) for each in names)
        return next((count for count in counts if count is not None), None)

    return found("float32"), found("int8")


def in_millions(counts: tuple[float | None, float | None], decimals: int) -> str:
    """Such as ``41.6 / 32.9``, a dash for what is not known."""
    return " / ".join("–" if count is None else f"{count / 1e6:,.{decimals}f}" for count in counts)
