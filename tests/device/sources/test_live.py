"""Live frames from a fake camera: the newest only, every fault with its outcome, all counted."""

from __future__ import annotations

import gc
import re
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from fake_camera import FakeCamera, random_faults

from fer_edge.device.sources import LiveSource
from fer_edge.device.sources.supervised import Recovery
from fer_edge.device.sources.watch import PictureWatch
from fer_edge.errors import FerEdgeError

QUICK = Recovery(pauses=(0.0, 0.01, 0.02), settled=0.2, frozen=0.05, hung=0.5)


def _run(
    script: Iterable[str],
    until: Callable[[FakeCamera, list[str]], bool],
    *,
    recovery: Recovery = QUICK,
) -> tuple[FakeCamera, LiveSource, list[str]]:
    """Take frames, each as soon as it is there, until a condition holds, five seconds at most."""
    camera, said = FakeCamera(script), []
    source = LiveSource(camera, recovery=recovery, report=said.append)
    deadline = time.monotonic() + 5
    with source:
        for _ in source.frames():
            if until(camera, said):
                break
            assert time.monotonic() < deadline, f"still waiting, was told: {said}"
    return camera, source, said


def test_only_the_newest_frame_is_kept_and_the_others_are_counted_as_dropped():
    camera = FakeCamera()
    with LiveSource(camera) as source:
        frames = source.frames()
        next(frames)
        while camera.frames < 30:
            time.sleep(0.001)
        second = next(frames)
        assert second.index >= 28
        assert (time.perf_counter() - second.captured) < 0.1
        frames.close()
    counts = source.counts
    assert camera.frames == 2 + counts.dropped
    assert counts.unreadable == 0
    assert counts.faults == {}


def test_the_count_of_dropped_frames_never_falls():
    camera, seen = FakeCamera(period=0.002), []
    with LiveSource(camera) as source:
        frames = source.frames()
        for _ in range(60):
            next(frames)
            seen += [source.counts.dropped for _ in range(3) if not time.sleep(0.001)]
    assert seen == sorted(seen)
    assert seen[-1] <= source.counts.dropped == camera.frames - 60


def test_the_time_that_a_frame_lay_waiting_is_part_of_its_latency():
    camera = FakeCamera(period=0.4)
    with LiveSource(camera) as source:
        while camera.frames < 2:
            time.sleep(0.01)
        time.sleep(0.1)
        frame = next(source.frames())
        waited = (time.perf_counter() - frame.captured) * 1e3
        assert waited >= 100
        assert frame.capture_ms == pytest.approx(0.1 + waited, abs=20)


def test_a_frame_is_given_back_before_the_next_one_is_handed_out():
    camera = FakeCamera()
    with LiveSource(camera) as source:
        frames = source.frames()
        for _ in range(20):
            next(frames)
            assert camera.held <= 3  # in our hands, waiting, just read
        frames.close()
    assert camera.held == 0


def test_a_stalled_camera_is_read_again_then_restarted_then_reopened():
    script = ["frame", *["stall"] * 4]
    camera, source, said = _run(script, lambda camera, said: len(said) == 2)
    assert said[0] == "fake camera gave no frame; trying to get it going"
    assert re.fullmatch(r"fake camera is back after \d\.\d s", said[1])
    assert camera.did["restart"] == 1
    assert camera.did["open"] == 3
    assert source.counts.faults == {"stalled": 1}


def test_one_lost_frame_costs_no_restart():
    camera, _, _ = _run(["frame", "stall"], lambda _, said: len(said) == 2)
    assert camera.did["restart"] == 0
    assert camera.did["open"] == 1


def test_an_unplugged_camera_that_is_plugged_in_again_goes_on():
    script = ["frame", "unplug", "stall", "stall"]
    camera, _, said = _run(script, lambda _, said: len(said) == 2)
    assert "is back" in said[1]
    assert camera.did["open"] == 2


def test_a_camera_beyond_recovery_ends_the_run_after_ever_longer_pauses():
    camera = FakeCamera(["frame", *["stall"] * 1000])
    began = time.monotonic()
    with (
        pytest.raises(FerEdgeError, match="gave no frame; nothing helped for") as caught,
        LiveSource(camera, recovery=Recovery(pauses=(0.05, 0.1))) as source,
    ):
        list(source.frames())
    assert caught.value.hint == camera.remedy
    assert 0.15 <= time.monotonic() - began < 2
    assert camera.did["stall"] == 5
    assert camera.held == 0


def test_a_camera_that_does_not_open_keeps_nothing_of_the_program_alive():
    class Kept:
        """As a classifier in the frame that opens."""

    def attempt() -> weakref.ref:
        kept, camera = Kept(), FakeCamera([])
        camera._away = 1
        with suppress(FerEdgeError):
            LiveSource(camera).open()
        return weakref.ref(kept)

    gc.disable()
    try:
        assert attempt()() is None
    finally:
        gc.enable()


def test_a_camera_that_is_gone_says_so_in_the_end():
    camera = FakeCamera(["frame", *["unplug"] * 1000])
    with (
        pytest.raises(FerEdgeError, match=r"cannot be started again \(no fake camera\)"),
        LiveSource(camera, recovery=Recovery(pauses=(0.0, 0.0))) as source,
    ):
        list(source.frames())


def test_trouble_that_comes_back_at_once_goes_on_where_it_left_off():
    script = ["frame"] + ["stall", "frame"] * 1000
    camera = FakeCamera(script)
    with (
        pytest.raises(FerEdgeError, match="nothing helped"),
        LiveSource(camera, recovery=Recovery(pauses=(0.0, 0.0), settled=60)) as source,
    ):
        list(source.frames())
    assert camera.did["restart"] == 1
    assert camera.did["open"] == 3


def test_whatever_ends_the_cameras_thread_ends_the_run(monkeypatch):
    camera = FakeCamera(["frame"])
    monkeypatch.setattr(camera, "_shot", lambda word: sys.exit(1))
    with LiveSource(camera) as source, pytest.raises(FerEdgeError, match="failed: SystemExit: 1"):
        next(source.frames())
    assert camera.did["close"] == 1


def test_a_camera_that_is_not_there_is_not_waited_for():
    camera = FakeCamera()
    camera._away = 1
    with pytest.raises(FerEdgeError, match="no fake camera"), LiveSource(camera):
        pass
    assert camera.did["open"] == 0


def test_damaged_frames_are_counted_and_leave_a_gap_in_the_numbers():
    seen = []
    camera = FakeCamera(["frame", "damaged", "damaged"], period=0.02)
    camera.timeout = 5.0  # a busy machine's pause is no fault here
    with LiveSource(camera) as source:
        for frame in source.frames():
            seen.append(frame.index)
            if len(seen) == 3:
                break
        counts = source.counts
    assert counts.unreadable == 2
    assert counts.faults == {}
    assert {1, 2}.isdisjoint(seen)


def test_nothing_but_damaged_frames_is_a_stall():
    _, source, said = _run(["frame", *["damaged"] * 60], lambda _, said: len(said) == 2)
    assert said[0] == "fake camera gave only damaged frames for 0.05 s; trying to get it going"
    assert source.counts.unreadable >= 50


def test_black_pictures_are_reported_once_and_the_run_goes_on():
    script = [*["black"] * 30, *["frame"] * 30, "black"]
    camera, source, said = _run(script, lambda camera, _: camera.did["frame"] > 60)
    assert said == ["fake camera gives black pictures: no light, or something covers it"] * 2
    assert camera.did["restart"] == 0
    assert source.counts.faults == {"black": 2}


def test_a_frozen_picture_is_reported_and_the_camera_restarted_once():
    script = ["frame", *["same"] * 400]
    camera, source, said = _run(script, lambda camera, _: camera.did["frame"] > 5)
    assert said == ["fake camera gave the same picture for 0.05 s; trying to get it going"]
    assert camera.did["restart"] == 1
    assert source.counts.faults == {"frozen": 1}


def test_frames_of_another_size_are_reported_and_go_on():
    shapes = set()
    camera, said = FakeCamera(["frame"] * 20 + ["large"] * 40, period=0.003), []
    with LiveSource(camera, report=said.append) as source:
        for frame in source.frames():
            shapes.add(frame.gray.shape)
            if len(said) == 2:
                break
    assert shapes == {(48, 64), (96, 128)}
    assert said[0] == "fake camera gives 128×96 pixels now, 64×48 before"
    assert source.counts.faults == {"resized": 2}


def test_a_driver_that_hangs_ends_the_run_which_does_not_wait_for_it():
    camera = FakeCamera(["frame", "hang"])
    began = time.monotonic()
    with (
        pytest.raises(FerEdgeError, match=r"hangs: a call into its driver has not come back"),
        LiveSource(camera, recovery=Recovery(hung=0.2)) as source,
    ):
        list(source.frames())
    assert time.monotonic() - began < 2
    camera.release_hang.set()


@pytest.mark.parametrize("script", [["frame", *["stall"] * 1000], ["frame", "hang"]])
def test_a_run_that_is_to_end_does_not_wait_for_a_stalled_camera(script):
    camera, stop = FakeCamera(script), threading.Event()
    recovery = Recovery(pauses=(60.0,), hung=1.0)
    with LiveSource(camera, recovery=recovery, stopped=stop.is_set) as source:
        frames = source.frames()
        next(frames)
        stop.set()
        began = time.monotonic()
        assert list(frames) == []
    assert time.monotonic() - began < 2
    camera.release_hang.set()


def test_whatever_a_driver_raises_ends_the_run_as_a_fault_of_the_camera():
    class Broken(FakeCamera):
        def read(self):
            raise ZeroDivisionError("by its driver")

    what = "fake camera failed: ZeroDivisionError: by its driver"
    with pytest.raises(FerEdgeError, match=what) as caught, LiveSource(Broken()) as source:
        list(source.frames())
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_noise_in_the_dark_is_black_and_a_lamp_in_it_is_not():
    watch, rng = PictureWatch(10), np.random.default_rng(0)
    dark = rng.integers(0, 20, (480, 640)).astype(np.uint8)
    assert watch.look(dark, 0.0)[0] == "black"
    assert watch.look(dark, 1.0) is None
    lit = dark.copy()
    lit[200:220, 300:320] = 200
    assert watch.look(lit, 2.0) is None
    assert watch.look(dark, 3.0)[0] == "black"


def test_a_picture_at_the_edge_of_black_is_not_reported_again_and_again():
    watch = PictureWatch(10)
    found = [watch.look(np.full((48, 64), tone, np.uint8), 0.0) for tone in (30, 34, 30, 34, 30)]
    assert [fault is not None for fault in found] == [True, False, False, False, False]


def test_the_slightest_noise_is_a_living_picture():
    watch = PictureWatch(10)
    for second in range(40):
        gray = np.full((480, 640), 100, np.uint8)
        gray[8 * (second % 60), 8] += 1
        assert watch.look(gray, float(second)) is None


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _soak(seed: int, frames: int) -> tuple[FakeCamera, LiveSource, list[int]]:
    """A consumer of changing speed on a camera with faults at random."""
    camera = FakeCamera(random_faults(seed, frames), period=0.0)
    recovery = Recovery(pauses=(0.0, 0.001), settled=0.0, frozen=1.0)
    rng, indices = np.random.default_rng(seed), []
    with LiveSource(camera, recovery=recovery) as source:
        for frame in source.frames():
            indices.append(frame.index)
            if camera.frames >= 0.9 * frames:
                break
            if rng.random() < 0.05:
                time.sleep(0.001)
    return camera, source, indices


def test_no_frame_is_unaccounted_for_and_nothing_leaks_whatever_the_camera_does():
    _soak(0, 500)
    threads, descriptors = threading.active_count(), _descriptors()
    for seed in range(2):
        camera, source, indices = _soak(seed, 6000)
        counts = source.counts
        assert camera.frames == len(indices) + counts.dropped + counts.unreadable
        assert counts.unreadable == camera.did["damaged"] > 10
        assert indices == sorted(set(indices))
        assert camera.held == 0
        assert counts.faults["stalled"] > 10
        assert counts.faults["black"] > 5
    assert threading.active_count() == threads
    assert _descriptors() == descriptors
