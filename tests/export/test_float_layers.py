"""How many layers the ladder leaves in float."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fer_edge.chatter import import_keras

import_keras()

from fer_edge.export.remedies.ladder import Ladder  # noqa: E402


class _Counting(Ladder):
    """Of a network with so many layers, that keeps the budget with so many of them in float."""

    def __init__(self, layers: int, needed: int) -> None:
        super().__init__(SimpleNamespace())  # type: ignore[arg-type]
        self._best = SimpleNamespace(float_layers=())  # type: ignore[assignment]
        self.names, self.needed = [f"layer{number}" for number in range(layers)], needed

    def _costliest(self, start: Any) -> list[str]:
        return self.names

    def _with_float(self, start: Any, names: list[str]) -> Any:
        return SimpleNamespace(float_layers=tuple(names), passed=len(names) >= self.needed)

    def left_in_float(self, gate: int) -> int | None:
        """Layers in float of the first candidate that the rehearsal and the gate let pass."""
        for ((_, _, candidate),) in self._float_layers():
            count = len(candidate.float_layers)
            if candidate.passed and count >= gate:
                return count
        return None


@pytest.mark.parametrize("layers", [1, 2, 3, 6, 7, 8, 9, 14, 16])
def test_as_few_layers_stay_in_float_as_keep_the_budget_and_one_at_least_is_int8(
    layers: int,
) -> None:
    for needed in range(1, layers):
        assert _Counting(layers, needed).left_in_float(needed) == needed
    assert _Counting(layers, layers).left_in_float(layers) is None


@pytest.mark.parametrize(("layers", "gate"), [(6, 4), (6, 5), (10, 4), (10, 7), (16, 12)])
def test_no_number_of_float_layers_is_skipped_after_the_gate_refused_fewer(
    layers: int, gate: int
) -> None:
    assert _Counting(layers, 3).left_in_float(gate) == gate
