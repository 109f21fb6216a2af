"""Percentiles in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest

from fer_edge.device.latency import LatencyRecorder


def test_percentiles_over_the_run_are_within_one_percent_of_the_exact_ones():
    values = np.random.default_rng(0).lognormal(1.5, 0.9, 20_000)
    recorder = LatencyRecorder(("infer",))
    for value in values:
        recorder.add("infer", value)
    found = recorder.overall("infer")
    exact = np.percentile(values, (50, 90, 99))
    np.testing.assert_allclose((found.p50, found.p90, found.p99), exact, rtol=0.01)
    assert found.longest == values.max()
    assert found.count == 20_000


def test_the_window_forgets_what_is_older():
    recorder = LatencyRecorder(("infer",), window=10)
    for value in [1000.0] * 50 + list(range(1, 11)):
        recorder.add("infer", value)
    recent = recorder.recent("infer")
    assert (recent.count, recent.p50, recent.p90, recent.longest) == (10, 5, 9, 10)


def test_memory_does_not_grow_with_the_run():
    recorder = LatencyRecorder(("infer",))
    sizes = []
    for _ in range(3):
        for _ in range(1000):
            recorder.add("infer", 3.0)
        sizes.append(recorder._bins["infer"].nbytes + len(recorder._newest["infer"]))
    assert len(set(sizes)) == 1


def test_a_single_measurement_is_each_of_its_percentiles():
    recorder = LatencyRecorder(("infer",))
    recorder.add("infer", 7.3)
    found = recorder.overall("infer")
    assert found.p50 == found.p99 == pytest.approx(7.3, rel=0.01)
    assert found.p99 <= found.longest


@pytest.mark.parametrize("extreme", [0.0, 1e-9, 1e12])
def test_extremes_are_kept_rather_than_lost(extreme):
    recorder = LatencyRecorder(("infer",))
    recorder.add("infer", extreme)
    assert recorder.overall("infer").count == 1


def test_nothing_measured_is_no_percentile_instead_of_zero():
    recorder = LatencyRecorder(("infer",))
    assert recorder.overall("infer") is None
    assert recorder.recent("infer") is None
