"""The annotated video: every frame, as fast as the world went, and nothing half-written."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
from made import result

from fer_edge.device.outputs import AnnotatedVideo
from fer_edge.device.outputs.video import STILL_S
from fer_edge.device.pipeline import Latency, Result
from fer_edge.device.sources import Frame
from fer_edge.errors import FerEdgeError


def _read_video(path: Path) -> list[np.ndarray]:
    video = cv2.VideoCapture(str(path))
    pictures = []
    while (read := video.read())[0]:
        pictures.append(read[1])
    return pictures


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
def test_a_video_holds_every_frame_with_its_boxes(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    with AnnotatedVideo(path, 25) as output:
        for index in range(5):
            output.write(result(index))
            assert not path.exists()
        output.finish({})
    pictures = _read_video(path)
    assert len(pictures) == 5
    green = pictures[0][60, 10]
    assert green[1] > 150 > green[2]
    assert list(tmp_path.iterdir()) == [path]


def _save_live(path: Path, moments: Iterable[float], slow: float = 0.0) -> list[int]:
    """A camera's video at 25 frames a second, of frames taken then: the numbers seen in it."""
    with AnnotatedVideo(path, 25, live=True) as output:
        for index, moment in enumerate(moments):
            gray = np.full((48, 64), 8 * index % 256, np.uint8)
            frame = Frame(index, gray, 1000 + moment, 1.0)
            output.write(Result(frame, (), Latency(1, 1, 0, 0)))
            if slow and index == 0:
                _slow_down(output, slow)
        output.finish({})
    return [round(float(picture.mean()) / 8) for picture in _read_video(path)]


def _slow_down(output: AnnotatedVideo, seconds: float) -> None:
    writer = output._writer

    class Slow:
        def write(self, picture: np.ndarray) -> None:
            time.sleep(seconds)
            writer.write(picture)

        def release(self) -> None:
            writer.release()

    output._writer = Slow()


def test_a_cameras_video_plays_as_fast_as_the_world_went(tmp_path):
    slower = _save_live(tmp_path / "slower.avi", np.arange(11) / 5)
    assert slower == [number for number in range(10) for _ in range(5)] + [10]
    faster = _save_live(tmp_path / "faster.avi", np.arange(26) / 100)
    assert len(faster) == 7
    assert sorted(set(faster)) == faster


def test_a_cameras_video_stands_still_for_some_seconds_while_there_is_none(tmp_path):
    seen = _save_live(tmp_path / "out.avi", (0, 0.04, 3600, 3600.04))
    assert len(seen) == 4 + STILL_S * 25
    assert seen[-2:] == [2, 3]


def test_repeating_pictures_does_not_hold_up_a_machine_that_writes_slowly(tmp_path):
    began = time.perf_counter()
    seen = _save_live(tmp_path / "out.avi", (0, 0.2, 0.4, 0.6), slow=0.06)
    assert sorted(set(seen)) == [0, 1, 2, 3]
    assert len(seen) <= 10
    assert time.perf_counter() - began < 1.5


def test_frames_of_other_sizes_are_fitted_into_the_first_ones(tmp_path):
    path = tmp_path / "out.avi"
    with AnnotatedVideo(path, None) as output:
        for size in ((121, 161), (300, 200), (40, 60)):
            output.write(result(faces=0, size=size))
        output.finish({})
    assert [picture.shape for picture in _read_video(path)] == [(120, 160, 3)] * 3


def test_a_run_that_fails_leaves_no_video(tmp_path):
    def fail() -> None:
        with AnnotatedVideo(tmp_path / "out.mp4", 25) as output:
            output.write(result())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_format_that_cannot_be_written_is_refused_by_its_suffix(tmp_path):
    with pytest.raises(FerEdgeError, match=r"out\.gif"):
        AnnotatedVideo(tmp_path / "out.gif", 25)


@pytest.mark.parametrize("folder", ["/dev/null", "/proc"])
def test_a_folder_that_cannot_be_written_to_is_refused(folder):
    with (
        pytest.raises(FerEdgeError, match="cannot write"),
        AnnotatedVideo(Path(folder) / "out.mp4", 25),
    ):
        pass


def test_a_full_disk_leaves_no_video(full_disk):
    rng = np.random.default_rng(0)

    def fill() -> None:
        with AnnotatedVideo(full_disk / "out.avi", 25) as output:
            for index in range(120):
                noise = rng.integers(0, 256, (120, 160), dtype=np.uint8)
                frame = Frame(index, noise, time.perf_counter(), 1.0)
                output.write(Result(frame, (), Latency(1, 1, 0, 0)))
            output.finish({})

    with pytest.raises(FerEdgeError, match="no space left"):
        fill()
    assert list(full_disk.iterdir()) == []
