"""How the learning rate moves over the steps of a run."""

from __future__ import annotations

import pytest

from fer_edge.chatter import import_keras
from fer_edge.train.recipe import FitTable

keras = import_keras()

from fer_edge.train.optimizers import CosineCycles, optimizer_of  # noqa: E402

STEPS = 10
ONE_FALL = FitTable(
    optimizer="sgd", epochs=6, learning_rate=0.1, schedule="cosine", warmup_epochs=1
)


def _rates(table: FitTable) -> list[float]:
    optimizer = optimizer_of(table, STEPS)
    schedule = optimizer._learning_rate
    return [float(schedule(step)) for step in range(table.epochs * STEPS + 1)]


def test_restarts_begin_again_from_the_whole_rate_and_end_at_zero() -> None:
    rates = _rates(ONE_FALL.model_copy(update={"epochs": 9, "restarts": [3, 6]}))
    assert rates[0] == 0
    for start in (10, 30, 60):
        assert rates[start] == pytest.approx(0.1)
        assert rates[start - 1] < 0.1
    for end in (29, 59, 90):
        assert rates[end] < 0.002
    falls = [rates[10:30], rates[30:60], rates[60:91]]
    assert all(fall == sorted(fall, reverse=True) for fall in falls)
    assert rates[45] == pytest.approx(0.05)


def test_the_first_fall_is_the_one_that_a_run_without_restarts_has() -> None:
    before = _rates(ONE_FALL)
    after = _rates(ONE_FALL.model_copy(update={"epochs": 10, "restarts": [6]}))
    assert after[:60] == pytest.approx(before[:60], abs=1e-8)


def test_a_shorter_run_leaves_out_the_restarts_behind_its_end() -> None:
    shorter = ONE_FALL.model_copy(update={"restarts": [6, 9]})
    assert _rates(shorter) == pytest.approx(_rates(ONE_FALL), abs=1e-8)


def test_a_checkpoint_keeps_the_cycles() -> None:
    optimizer = optimizer_of(ONE_FALL.model_copy(update={"restarts": [3]}), STEPS)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(again._learning_rate, CosineCycles)
    assert float(again._learning_rate(30)) == pytest.approx(0.1)
