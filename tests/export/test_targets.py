"""A target names files, budget and checks."""

from __future__ import annotations

from pathlib import Path

import pytest

from fer_edge.bundle import DYNAMIC_TFLITE, FLOAT16_TFLITE, INT8_TFLITE, MEMBERS
from fer_edge.errors import FerEdgeError
from fer_edge.export.formats import DEFAULT, SLIM
from fer_edge.export.judging.budget import Budget, load_budget
from fer_edge.export.targets import TARGETS, advise, choose_formats, find_target, wants_micro

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_ships_the_int8_file_is_judged_by_a_shipped_budget_and_documented(
    name: str,
) -> None:
    target = find_target(name)
    assert INT8_TFLITE in target.formats
    assert set(target.formats) <= set(MEMBERS)
    budget = load_budget(target.budget)
    assert target.micro == (budget.max_arena_kilobytes is not None)
    assert advise(name) == [f"{name}: {target.advice}"]
    assert "int8 TFLite" in target.advice
    assert f"`{name}`" in (DOCS / "boards.md").read_text()
    assert f"`{name}`" in (DOCS / "exporting.md").read_text()


def test_options_choose_the_files() -> None:
    def chosen(slim: bool = False, float16: bool = False, dynamic: bool = False) -> set[str]:
        return set(choose_formats(None, slim=slim, float16=float16, dynamic=dynamic))

    assert chosen() == set(DEFAULT)
    assert chosen(slim=True) == set(SLIM)
    assert chosen(float16=True) == {*DEFAULT, FLOAT16_TFLITE}
    assert chosen(float16=True, dynamic=True) == {*DEFAULT, FLOAT16_TFLITE, DYNAMIC_TFLITE}
    zero = choose_formats(TARGETS["pi-zero-2w"], slim=False, float16=False, dynamic=False)
    assert zero == SLIM


def test_a_mistyped_target_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(FerEdgeError, match="there is no target 'pi5'") as caught:
        find_target("pi5")
    assert caught.value.hint == "did you mean 'pi-5'?"
    with pytest.raises(FerEdgeError) as caught:
        find_target("toaster")
    assert caught.value.hint == "there are pi-zero-2w, pi-4, pi-5, pc, mcu"


def test_a_budget_that_limits_the_arena_asks_tflite_micro_and_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import importlib.util

    assert not wants_micro(None, Budget())
    assert not wants_micro(TARGETS["pi-5"], Budget())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for target, budget in ((TARGETS["mcu"], Budget()), (None, Budget(max_arena_kilobytes=1))):
        with pytest.raises(FerEdgeError, match="'tflite_micro', which is not installed") as caught:
            wants_micro(target, budget)
        assert "fer-edge[mcu]" in caught.value.hint
