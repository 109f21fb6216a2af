"""Events, the annotated video, the status line: what leaves the program."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from fer_edge.device.latency import LatencyRecorder
from fer_edge.device.outputs import (
    AnnotatedPictures,
    AnnotatedVideo,
    Answers,
    JsonLines,
    OutputClosed,
    StatusLine,
    Window,
)
from fer_edge.device.outputs.drawing import annotated
from fer_edge.device.outputs.video import STILL_S
from fer_edge.device.pipeline import Face, Latency, Result, TrackEvent
from fer_edge.device.sources import Frame
from fer_edge.errors import FerEdgeError
from fer_edge.labels import LABELS


def _result(
    index: int = 17,
    *,
    faces: int = 1,
    size: tuple[int, int] = (120, 160),
    light: float | None = None,
    name: str | None = None,
) -> Result:
    probabilities = np.full(len(LABELS), 0.015, np.float32)
    probabilities[3] = 0.91
    found = tuple(
        Face((10 + 60 * n, 30, 40, 40), "happy", 0.91, probabilities) for n in range(faces)
    )
    gray = np.full(size, 90, np.uint8)
    frame = Frame(index, gray, time.perf_counter(), 1.25, name=name)
    return Result(frame, found, Latency(1.25, 3.5, 0.125, 0.5, light))


def _events(*results: Result, every_frame: bool = False) -> list[dict]:
    stream = io.StringIO()
    with JsonLines(stream, LABELS, every_frame=every_frame) as output:
        for result in results:
            output.write(result)
        output.finish({"summary": True})
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_has_the_documented_fields():
    event, summary = _events(_result())
    assert list(event) == [
        "time",
        "frame",
        "track",
        "box",
        "label",
        "confidence",
        "probabilities",
        "latency_ms",
    ]
    assert event["frame"] == 17
    assert event["box"] == [10, 30, 40, 40]
    assert (event["label"], event["confidence"]) == ("happy", 0.91)
    assert list(event["probabilities"]) == list(LABELS)
    assert event["latency_ms"] == {
        "capture": 1.25,
        "detect": 3.5,
        "crop": 0.125,
        "infer": 0.5,
        "total": 5.375,
    }
    assert summary == {"summary": True}


def test_what_happens_to_a_track_has_a_line_of_its_own_before_the_frames_faces():
    happened = TrackEvent("change", 3, (10, 30, 40, 40), "happy", "sad", 0.91, 2.5)
    told, face, _ = _events(replace(_result(), events=(happened,)))
    assert told.pop("time") == face["time"]
    assert told == {
        "frame": 17,
        "event": "change",
        "track": 3,
        "box": [10, 30, 40, 40],
        "label": "happy",
        "previous": "sad",
        "confidence": 0.91,
        "seconds": 2.5,
    }
    assert "event" not in face


def test_time_is_the_moment_of_capture_in_utc():
    result = _result()
    time.sleep(0.05)
    event = _events(result)[0]
    assert event["time"].endswith("Z")
    from datetime import UTC, datetime

    age = (datetime.now(UTC) - datetime.fromisoformat(event["time"])).total_seconds()
    assert 0.05 <= age < 5


def test_light_to_label_is_told_where_the_sensor_gives_it():
    assert _events(_result(light=33.2))[0]["latency_ms"]["light"] == 33.2


def test_a_picture_is_named():
    assert _events(_result(name="a.png"))[0]["image"] == "a.png"


def test_a_frame_with_two_faces_gives_two_lines_and_one_without_gives_none():
    events = _events(_result(faces=2), _result(18, faces=0))
    assert [event.get("frame") for event in events] == [17, 17, None]


def test_every_frame_gives_nulls_for_a_frame_without_a_face():
    event = _events(_result(faces=0), every_frame=True)[0]
    assert event["frame"] == 17
    assert event["box"] is event["label"] is event["confidence"] is event["probabilities"] is None


def _answers(*results: Result) -> list[str]:
    stream = io.StringIO()
    output = Answers(stream, LABELS)
    for result in results:
        output.write(result)
    return stream.getvalue().splitlines()


def test_pictures_are_answered_a_line_a_face():
    assert _answers(_result(name="a.png"), _result(faces=0, name="x/b.png")) == [
        "a.png  happy 91%",
        "x/b.png  no face",
    ]
    assert _answers(_result(faces=2, name="a.png")) == [
        "a.png  happy 91%  at 10,30 40×40",
        "a.png  happy 91%  at 70,30 40×40",
    ]


def test_an_answer_that_is_uncertain_says_what_it_might_be():
    found = _result(name="a.png")
    unsure = replace(found.faces[0], label="uncertain", confidence=0.31)
    assert _answers(replace(found, faces=(unsure,))) == ["a.png  uncertain, perhaps happy 31%"]


def test_a_reader_that_went_away_ends_the_run_quietly():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream, JsonLines(stream, LABELS) as output:
        with pytest.raises(OutputClosed) as caught:
            output.write(_result())
        assert caught.value.unread
        output.finish({"summary": True})


def test_a_terminal_that_hung_up_ends_the_run_quietly():
    mine, its = os.openpty()
    os.close(mine)
    with os.fdopen(its, "w") as stream, pytest.raises(OutputClosed) as caught:
        JsonLines(stream, LABELS).write(_result())
    assert caught.value.unread


def test_a_full_disk_behind_standard_output_is_an_error():
    with pytest.raises(FerEdgeError, match="cannot write to standard output: no space left"):
        _write_to(Path("/dev/full"))


def _write_to(path: Path) -> None:
    stream = path.open("w")
    try:
        JsonLines(stream, LABELS).write(_result())
    finally:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        stream.close()


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
            output.write(_result(index))
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
            output.write(_result(faces=0, size=size))
        output.finish({})
    assert [picture.shape for picture in _read_video(path)] == [(120, 160, 3)] * 3


def test_pictures_are_drawn_into_under_their_own_names(tmp_path):
    names = ("a.jpg", "x/b.png", "c.pgm", "../../up.png", "/root.bmp", "none")
    with AnnotatedPictures(tmp_path / "out", tmp_path / "few.zip") as output:
        for name in names:
            output.write(_result(name=name))
        output.finish({})
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {
        f"out/{name}" for name in ("a.jpg", "x/b.png", "c.ppm", "up.png", "root.bmp", "none.png")
    }
    green = cv2.imread(str(tmp_path / "out" / "x" / "b.png"))[60, 10]
    assert tuple(green) == (80, 220, 80)


def test_every_picture_has_a_file_of_its_own_and_none_outside_of_the_folder(tmp_path):
    names = ("a.pgm", "a.ppm", "b.jpg", "../b.jpg", "/b.jpg", "c.heic", "c.heic")
    with AnnotatedPictures(tmp_path / "out", tmp_path / "few.zip") as output:
        for name in names:
            output.write(_result(name=name))
        output.write(_result(name=f"/{tmp_path}/d.jpg"))
    written = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(map(str, written)) == [
        "out/a.ppm",
        "out/a.ppm.png",
        "out/b.jpg",
        "out/b.jpg.2.png",
        "out/b.jpg.png",
        "out/c.heic.2.png",
        "out/c.heic.png",
        f"out{tmp_path}/d.jpg",
    ]


def test_pictures_of_an_archive_do_not_replace_what_may_be_the_originals(tmp_path):
    archive, seen = tmp_path / "few.zip", tmp_path / "seen"
    archive.touch()
    (tmp_path / "notes.txt").touch()
    AnnotatedPictures(tmp_path, archive)
    seen.mkdir()
    (seen / "1.jpg").touch()
    AnnotatedPictures(seen, archive)  # as a run before has left it
    with pytest.raises(FerEdgeError, match="holds pictures beside") as caught:
        AnnotatedPictures(tmp_path, archive)
    assert "another folder" in caught.value.hint


def test_a_picture_larger_than_its_format_takes_is_refused(tmp_path):
    target = tmp_path / "out.webp"
    with (
        pytest.raises(FerEdgeError, match="17000×60 pixels are too many") as caught,
        AnnotatedPictures(target, tmp_path / "a.jpg") as output,
    ):
        output.write(_result(name="a.jpg", size=(60, 17000)))
    assert ".png" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_one_picture_is_drawn_into_a_file(tmp_path):
    with AnnotatedPictures(tmp_path / "out.png", tmp_path / "a.jpg") as output:
        output.write(_result(name="a.jpg"))
    assert cv2.imread(str(tmp_path / "out.png")).shape == (120, 160, 3)


@pytest.mark.parametrize(
    ("target", "source", "said"),
    [
        ("out.png", "few", "is one picture, and .* may hold several"),
        ("out.png", "few.zip", "is one picture, and .* may hold several"),
        ("out.gif", "few", "cannot tell the format of"),
        ("few", "few", "where pictures are read from"),
        ("few/out", "few", "where pictures are read from"),
        ("few", "few/a.png", "where pictures are read from"),
        ("few/a.png", "few/a.png", "where pictures are read from"),
    ],
)
def test_pictures_that_are_read_are_neither_replaced_nor_joined(tmp_path, target, source, said):
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "a.png").touch()
    with pytest.raises(FerEdgeError, match=said):
        AnnotatedPictures(tmp_path / target, tmp_path / source)


def test_a_run_that_fails_leaves_no_video(tmp_path):
    def fail() -> None:
        with AnnotatedVideo(tmp_path / "out.mp4", 25) as output:
            output.write(_result())
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


def test_drawing_leaves_the_frame_as_it_was():
    result = _result()
    picture = annotated(result)
    assert picture.shape == (120, 160, 3)
    assert (picture != 90).any()
    assert (result.frame.gray == 90).all()


def test_a_window_without_a_display_is_refused(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(FerEdgeError, match="no display"), Window():
        pass


def test_an_opencv_without_windows_is_named_as_the_reason(monkeypatch):
    if "GUI:                           NONE" not in cv2.getBuildInformation():
        pytest.skip("this OpenCV has windows")
    monkeypatch.setenv("DISPLAY", ":0")
    with pytest.raises(FerEdgeError) as caught, Window():
        pass
    assert "opencv-python>=4.10,<5" in caught.value.hint


def test_the_status_line_appears_in_a_terminal_only():
    latencies = LatencyRecorder()
    latencies.add("total", 5.4)
    shown = {}
    for terminal in (True, False):
        stream = io.StringIO()
        console = Console(file=stream, force_terminal=terminal, width=120)
        with StatusLine(latencies, console, lambda: 12) as status:
            status.write(_result())
            time.sleep(0.1)
        shown[terminal] = stream.getvalue()
    assert "frame 17" in shown[True]
    assert "happy 91%" in shown[True]
    assert "12 dropped" in shown[True]
    assert "p50 5.4 ms" in shown[True]
    assert shown[False] == ""
