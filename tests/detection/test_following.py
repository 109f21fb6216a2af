"""The benchmark of following leaves out the frames in which a face that was lost is detected."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "tracking.py"
GRAYS = [np.zeros((240, 320), np.uint8)] * 40
BOX = (50, 60, 80, 80)


@pytest.fixture(scope="module")
def tracking() -> Any:
    spec = importlib.util.spec_from_file_location("tracking", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up
    sys.modules["tracking"] = module
    spec.loader.exec_module(module)
    return module


def test_a_follower_that_gives_up_at_once_is_compared_with_nothing(
    tracking: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    detected = [[BOX]] * len(GRAYS)
    followed = tracking._followed(GRAYS, detected, 10, lambda before, after, box: None)
    assert followed.anew == [True] * len(GRAYS)
    tracking._report("gives up", 10, followed, detected, None)
    (line,) = capsys.readouterr().out.splitlines()
    assert "none to compare" in line
    assert line.endswith(" 100.0%")


def test_what_was_lost_now_and_then_is_told_as_a_share_and_not_as_perfect(
    tracking: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    # the truth moves by a quarter of a side in every second frame, and the box is held
    detected = [[BOX], [(70, 60, 80, 80)]] * (len(GRAYS) // 2)
    asked: list[int] = []

    def held(before: Any, after: Any, box: Any) -> Any:
        asked.append(1)
        return None if len(asked) == 4 else box

    followed = tracking._followed(GRAYS, detected, 10, held)
    assert [place for place, anew in enumerate(followed.anew) if anew] == [0, 4, 10, 20, 30]
    tracking._report("held", 10, followed, detected, None)
    (line,) = capsys.readouterr().out.splitlines()
    # 35 frames: the box lies right in 15 of them, in the others it shares three fifths
    assert f"{(15 + 20 * 0.6) / 35:.3f}, 0.600, 0.60" in line
    assert line.endswith(f"{1 / 36:.1%}")


def test_detections_of_the_whole_tracker_are_told_from_frames_that_it_follows_in(
    tracking: Any,
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (120, 160)).astype(np.uint8)
    tracked = tracking._tracked([noise] * 6, 5)
    assert len(tracked.boxes) == len(tracked.anew) == 6
    assert tracked.anew[0]
