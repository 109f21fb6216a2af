"""Events, answers, the status line, the window: what a run says while it goes."""

from __future__ import annotations

import io
import json
import os
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import cv2
import pytest
from made import result
from rich.console import Console

from fer_edge.device.latency import LatencyRecorder
from fer_edge.device.outputs import Answers, JsonLines, OutputClosed, StatusLine, Window
from fer_edge.device.pipeline import Result, TrackEvent
from fer_edge.errors import FerEdgeError
from fer_edge.labels import LABELS


def _events(*results: Result, every_frame: bool = False) -> list[dict]:
    stream = io.StringIO()
    with JsonLines(stream, LABELS, every_frame=every_frame) as output:
        for each in results:
            output.write(each)
        output.finish({"summary": True})
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_has_the_documented_fields():
    event, summary = _events(result())
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
    told, face, _ = _events(replace(result(), events=(happened,)))
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
    taken = result()
    time.sleep(0.05)
    event = _events(taken)[0]
    assert event["time"].endswith("Z")

    age = (datetime.now(UTC) - datetime.fromisoformat(event["time"])).total_seconds()
    assert 0.05 <= age < 5


def test_light_to_label_is_told_where_the_sensor_gives_it():
    assert _events(result(light=33.2))[0]["latency_ms"]["light"] == 33.2


def test_a_picture_is_named():
    assert _events(result(name="a.png"))[0]["image"] == "a.png"


def test_a_frame_with_two_faces_gives_two_lines_and_one_without_gives_none():
    events = _events(result(faces=2), result(18, faces=0))
    assert [event.get("frame") for event in events] == [17, 17, None]


def test_every_frame_gives_nulls_for_a_frame_without_a_face():
    event = _events(result(faces=0), every_frame=True)[0]
    assert event["frame"] == 17
    assert event["box"] is event["label"] is event["confidence"] is event["probabilities"] is None


def _answers(*results: Result) -> list[str]:
    stream = io.StringIO()
    output = Answers(stream, LABELS)
    for each in results:
        output.write(each)
    return stream.getvalue().splitlines()


def test_pictures_are_answered_a_line_a_face():
    assert _answers(result(name="a.png"), result(faces=0, name="x/b.png")) == [
        "a.png  happy 91%",
        "x/b.png  no face",
    ]
    assert _answers(result(faces=2, name="a.png")) == [
        "a.png  happy 91%  at 10,30 40×40",
        "a.png  happy 91%  at 70,30 40×40",
    ]


def test_an_answer_that_is_uncertain_says_what_it_might_be():
    found = result(name="a.png")
    unsure = replace(found.faces[0], label="uncertain", confidence=0.31)
    assert _answers(replace(found, faces=(unsure,))) == ["a.png  uncertain, perhaps happy 31%"]


def test_a_reader_that_went_away_ends_the_run_quietly():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream, JsonLines(stream, LABELS) as output:
        with pytest.raises(OutputClosed) as caught:
            output.write(result())
        assert caught.value.unread
        output.finish({"summary": True})


def test_a_terminal_that_hung_up_ends_the_run_quietly():
    mine, its = os.openpty()
    os.close(mine)
    with os.fdopen(its, "w") as stream, pytest.raises(OutputClosed) as caught:
        JsonLines(stream, LABELS).write(result())
    assert caught.value.unread


def test_a_full_disk_behind_standard_output_is_an_error():
    with pytest.raises(FerEdgeError, match="cannot write to standard output: no space left"):
        _write_to(Path("/dev/full"))


def _write_to(path: Path) -> None:
    stream = path.open("w")
    try:
        JsonLines(stream, LABELS).write(result())
    finally:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        stream.close()


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
            status.write(result())
            time.sleep(0.1)
        shown[terminal] = stream.getvalue()
    assert "frame 17" in shown[True]
    assert "happy 91%" in shown[True]
    assert "12 dropped" in shown[True]
    assert "p50 5.4 ms" in shown[True]
    assert shown[False] == ""
