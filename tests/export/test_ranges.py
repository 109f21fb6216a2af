"""Five ways to tell a tensor's range, from the same values."""

from __future__ import annotations

import numpy as np
import pytest

from fer_edge.errors import FerEdgeError
from fer_edge.export.converters.isolating import step_of
from fer_edge.export.remedies.ranges import METHODS, Observer, check_method


def _seen(samples: list[np.ndarray]) -> dict[str, tuple[float, float]]:
    observer = Observer(len(samples), METHODS)
    for values in samples:
        observer.add("x", values.astype(np.float32))
    return {method: observer.ranges(method)["x"] for method in METHODS}


def _error(values: np.ndarray, low: float, high: float) -> float:
    scale, zero = step_of(low, high)
    steps = np.clip(np.round(values / scale) + zero, -128, 127)
    return float(np.square((steps - zero) * scale - values).mean())


def test_values_without_outliers_are_covered_by_every_method() -> None:
    rng = np.random.default_rng(0)
    for low, high in _seen([rng.uniform(-1, 3, 20_000) for _ in range(5)]).values():
        assert -1.01 < low < -0.9
        assert 2.7 < high < 3.01


def test_an_outlier_in_a_thousand_is_what_the_methods_disagree_on() -> None:
    rng = np.random.default_rng(1)
    samples = [np.append(rng.normal(size=20_000), 400.0) for _ in range(3)]
    ranges = _seen(samples)
    everything = np.concatenate(samples)
    assert ranges["minmax"][1] == 400
    assert ranges["percentile"][1] < 6
    assert ranges["kl"][1] < 100
    errors = {method: _error(everything, *limits) for method, limits in ranges.items()}
    # clipping three values of 400 costs more than a coarse step for all others
    assert errors["mse"] <= 1.05 * min(errors.values())


def test_the_range_of_a_relu_begins_at_zero_and_one_of_nothing_is_empty() -> None:
    rng = np.random.default_rng(2)
    positive = [np.maximum(rng.normal(size=5_000), 0) + 0.0 for _ in range(3)]
    assert {low for low, _ in _seen(positive).values()} == {0}
    exact = Observer(1, ("minmax", "mse"))
    exact.add("dead", np.zeros(100, np.float32))
    assert exact.ranges("minmax")["dead"] == exact.ranges("mse")["dead"] == (0, 0)


def test_the_histograms_of_onnx_runtime_print_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    _seen([np.random.default_rng(3).normal(size=1_000)])
    assert capfd.readouterr().out == ""


def test_an_unknown_method_is_refused_by_its_name() -> None:
    with pytest.raises(FerEdgeError, match="no ranges 'best'") as caught:
        check_method("best")
    assert "auto, coverage, minmax" in caught.value.hint
