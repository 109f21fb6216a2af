"""What the docs say of counted instructions is what was counted."""

from __future__ import annotations

from pathlib import Path

from fer_edge.instructions import read_instructions

BOARDS = Path(__file__).parents[1] / "docs" / "boards.md"
COLUMNS = ("cortex-a53", "cortex-a72", "cortex-a76")


def _row(name: str, float32: dict[str, float], int8: dict[str, float]) -> str:
    cells = [
        f"{float32[cpu] / 1e6:,.1f} | {int8[cpu] / 1e6:,.1f} ({int8[cpu] / float32[cpu]:.2f})"
        for cpu in COLUMNS
    ]
    return f"| `{name}` | {' | '.join(cells)} |"


def test_every_network_stands_in_the_table_of_boards_with_its_counts() -> None:
    counts = read_instructions()
    names = {model.removesuffix(".float32") for model in counts if model.endswith(".float32")}
    expected = {_row(name, counts[f"{name}.float32"], counts[f"{name}.int8"]) for name in names}
    assert expected <= set(BOARDS.read_text().splitlines())
