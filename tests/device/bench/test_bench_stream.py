"""How queries are put, and what figures are made of their times."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import pytest

from fer_edge.device.bench.figures import figures, paired_ratios
from fer_edge.device.bench.frames import Frames, read_frames
from fer_edge.device.bench.rule import QUICK, SINGLE_STREAM, Rule
from fer_edge.device.bench.stream import measure


def _never() -> bool:
    return False


class Clock:
    """A clock that moves only when a query takes its time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.asked: list[str] = []
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def query(self, name: str, milliseconds: float) -> Callable[[], float]:
        def ask() -> float:
            self.asked.append(name)
            self.now += milliseconds / 1e3
            return milliseconds

        return ask


def test_the_rule_is_that_of_mlperfs_single_stream():
    assert (SINGLE_STREAM.min_seconds, SINGLE_STREAM.min_queries) == (60.0, 1024)
    assert QUICK.min_seconds < 60
    assert QUICK.min_queries < 1024


@pytest.mark.parametrize(("milliseconds", "queries"), [(10.0, 6000), (100.0, 1024)])
def test_a_fast_query_is_put_for_60_seconds_and_a_slow_one_1024_times(
    milliseconds, queries, monkeypatch
):
    clock = Clock(monkeypatch)
    stream = measure([clock.query("a", milliseconds)], SINGLE_STREAM, _never)
    assert len(stream.times[0]) == pytest.approx(queries, abs=1)
    assert stream.warm_up == pytest.approx(max(32, 2000 / milliseconds), abs=1)
    assert len(clock.asked) == stream.warm_up + len(stream.times[0])
    assert stream.seconds == pytest.approx(queries * milliseconds / 1e3, abs=0.1)
    assert stream.complete


def test_subjects_take_turns_and_the_first_is_not_always_first(monkeypatch):
    clock = Clock(monkeypatch)
    stream = measure([clock.query("a", 1.0), clock.query("b", 3.0)], Rule(1.0, 4, 0.0, 0), _never)
    assert clock.asked[:8] == list("abbaabba")
    assert len(stream.times[0]) == pytest.approx(500, abs=1)  # in 2 s: one for each
    assert set(stream.times[0]) == {1.0}
    assert set(stream.times[1]) == {3.0}


def test_what_is_ended_before_its_time_is_incomplete(monkeypatch):
    clock = Clock(monkeypatch)
    stream = measure([clock.query("a", 1.0)], Rule(1.0, 4, 0.0, 0), lambda: clock.now > 0.1)
    assert 95 < len(stream.times[0]) < 105
    assert not stream.complete


def test_figures_are_exact_and_the_score_is_a_time_that_was_measured():
    times = np.arange(1.0, 101.0)
    found = figures(np.random.default_rng(0).permutation(times))
    assert found == {"mean": 50.5, "min": 1, "p50": 50, "p90": 90, "p99": 99, "max": 100}


def test_a_ratio_survives_a_machine_that_slows_down_and_its_interval_holds_the_truth():
    rng = np.random.default_rng(1)
    slowing = np.repeat(rng.uniform(1, 3, 50), 41)
    one = slowing * rng.lognormal(0, 0.05, len(slowing))
    other = 2.5 * slowing * rng.lognormal(0, 0.05, len(slowing))
    found = paired_ratios(other, one)
    assert found["blocks"] == 32
    for name in ("p50", "p90", "mean"):
        assert found[name]["low"] < 2.5 < found[name]["high"]
        assert found[name]["high"] - found[name]["low"] < 0.2
    assert paired_ratios(one, other)["p50"]["value"] == pytest.approx(0.4, abs=0.01)


def test_intervals_of_equal_subjects_hold_1_about_19_times_in_20():
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(200):
        one, other = rng.lognormal(0, 0.2, (2, 256))
        found = paired_ratios(one, other)["mean"]
        held += found["low"] <= 1 <= found["high"]
    assert 180 <= held <= 200


def test_few_queries_give_wider_intervals_and_too_few_none():
    assert paired_ratios(np.ones(127), np.ones(127)) is None
    assert paired_ratios(np.ones(128), np.ones(128))["blocks"] == 4
    assert paired_ratios(np.ones(600), np.ones(512))["blocks"] == 16


def test_a_recording_is_played_forth_and_back_and_pictures_round_and_round():
    gray = tuple(np.full((4, 6), shade, np.uint8) for shade in range(4))

    def shades(frames: Frames) -> list[int]:
        return [int(frame.gray[0, 0]) for frame, _ in zip(frames.endless(), range(9), strict=False)]

    assert shades(Frames("video", "x", gray, 25.0)) == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert shades(Frames("images", "x", gray, None)) == [0, 1, 2, 3, 0, 1, 2, 3, 0]
    assert shades(Frames("video", "x", gray[:1], 25.0)) == [0] * 9
    endless = Frames("video", "x", gray, 25.0).endless()
    assert [next(endless).index for _ in range(9)] == list(range(9))


def test_frames_are_read_into_memory_up_to_a_limit(clip, monkeypatch):
    frames = read_frames(clip.path, None, draw=lambda *_: [])
    assert (len(frames.gray), frames.gray[0].shape, frames.kind) == (24, (180, 320), "video")
    assert frames.fps == 25
    assert not np.array_equal(frames.gray[0], frames.gray[-1])
    monkeypatch.setattr("fer_edge.device.bench.frames.MOST_BYTES", 5 * 180 * 320)
    assert len(read_frames(clip.path, None, draw=lambda *_: []).gray) == 5


def test_frames_are_drawn_where_none_are_named_in_the_size_of_a_cameras():
    asked = []

    def draw(count: int, size: tuple[int, int]) -> list[np.ndarray]:
        asked.append((count, size))
        return [np.full((size[1], size[0], 3), 77, np.uint8)] * count

    frames = read_frames(None, None, draw)
    assert asked == [(25, (320, 240))]
    assert frames.to_dict() == {
        "source": "drawn",
        "synthetic": True,
        "name": None,
        "sha256": None,
        "frames": 25,
        "width": 640,
        "height": 480,
        "mib": 7.3,
    }
    assert math.isclose(frames.gray[0].mean(), 77)
