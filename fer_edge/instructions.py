"""Instructions of an inference, as counted in emulation: what a network costs without a board."""

from __future__ import annotations

from pathlib import Path

from fer_edge.files import read_json


def read_instructions(target: Path) -> dict[str, dict[str, float]]:
    """Instructions of one inference, in emulation, of each model on each processor.

    Args:
        target: what ``benchmarks/arm/count.py --json`` wrote; it may be missing.

    Returns:
        Such as ``{"triwijoyo.int8": {"cortex-a72": 1.2e8}}``.
    """
    counts: dict[str, dict[str, float]] = {}
    for row in read_json(target).get("counts", []):
        counts.setdefault(row["model"], {})[row["processor"]] = row["all"]
    return counts
