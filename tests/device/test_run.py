"""``fer-edge run`` as a whole: in this process for its results, in its own for a user's view."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from matroska import record

import fer_edge
from fer_edge.device.classifier import open_classifier
from fer_edge.device.detectors import HaarDetector
from fer_edge.device.outputs import LogFile
from fer_edge.device.pipeline import run_pipeline
from fer_edge.device.run import RunOptions, check_options, run
from fer_edge.device.services import ServiceOptions
from fer_edge.device.smoothing import NO_SMOOTHING, Smoothing
from fer_edge.device.sources import open_source
from fer_edge.device.tracking import EachFrame, FaceTracker
from fer_edge.errors import FerEdgeError
from fer_edge.face import HAAR, CropRule, crop_faces
from fer_edge.files import sha256
from fer_edge.labels import LABELS
from fer_edge.runtime import load_model
from fer_edge.shipped import find_shipped


def _run_json(capsys: pytest.CaptureFixture[str], **options) -> tuple[int, list[dict]]:
    code = run(RunOptions(json=True, **options))
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_every_frame_and_face_is_accounted_for(bundle, clip, capsys):
    code, (*events, summary) = _run_json(capsys, bundle=bundle, video=clip.path, every_frame=True)
    assert code == 0
    assert sorted({event["frame"] for event in events}) == list(range(24))
    told = [event for event in events if "event" in event]
    assert [(event["event"], event["track"]) for event in told][:2] == [
        ("appear", 1),
        ("appear", 2),
    ]
    faces = [event for event in events if "event" not in event]
    assert {face["track"] for face in faces} == {1, 2}
    assert summary["summary"] is True
    assert summary["frames"] == {
        "read": 24,
        "with_faces": 24,
        "unreadable": 0,
        "dropped": 0,
        "paused": 0,
    }
    assert summary["faces"] == len(faces) == sum(summary["labels"].values())
    assert sum(summary["events"].values()) == len(told)
    assert summary["detector"]["name"] == "own"
    assert 1 < summary["detector"]["detections"] < 10
    assert summary["model"]["verified"] is True
    assert summary["model"]["sha256"] == summary["model"]["model_sha256"]
    assert summary["model"]["bundle_sha256"] == sha256(bundle)
    assert summary["interrupted"] is False
    assert summary["fps"] > 0
    for stage in ("capture", "detect", "crop", "infer", "total", "output"):
        assert 0 < summary["latency_ms"][stage]["p50"] <= summary["latency_ms"][stage]["max"]


def test_labels_are_what_the_model_says_of_exactly_these_crops(bundle, maker, clip):
    model = load_model(maker.content)
    classifier = open_classifier(bundle)
    with open_source(video=clip.path) as source:
        for result in run_pipeline(source.frames(), FaceTracker(HaarDetector()), classifier):
            boxes = [face.box for face in result.faces]
            expected = model.probabilities(crop_faces(result.frame.gray, boxes, HAAR))
            np.testing.assert_array_equal([face.probabilities for face in result.faces], expected)
            assert [face.label for face in result.faces] == [
                LABELS[best] for best in expected.argmax(axis=1)
            ]


def test_time_in_a_recording_is_counted_by_its_frames_not_by_the_clock(bundle, clip, capsys):
    options = {"bundle": bundle, "video": clip.path, "smoothing": NO_SMOOTHING}
    _, (*events, _) = _run_json(capsys, **options)
    first = next(event for event in events if event.get("event") == "appear")
    # confirmed in the second frame of 25 a second, whatever the machine took for it
    assert (first["frame"], first["seconds"]) == (1, 0.04)


def test_a_browsers_recording_is_told_like_the_video_it_was_made_of(bundle, clip, tmp_path, capsys):
    path = tmp_path / "recorded.webm"
    times = [40 * n + (-7, 0, 8, 3)[n % 4] * (n > 0) for n in range(24)]
    with open_source(video=clip.path, colour=True) as source:
        record(path, (frame.colour for frame in source.frames()), times, length=True)
    told = []
    for video in (clip.path, path):
        options = {"bundle": bundle, "video": video, "smoothing": Smoothing(min_confidence=1.0)}
        _, (*events, summary) = _run_json(capsys, **options)
        assert summary["frames"]["unreadable"] == 0
        told.append([event for event in events if "event" in event])
    video, recording = told
    assert [event["event"] for event in recording] == [event["event"] for event in video]
    for event in recording:
        shown = (times[event["frame"]] - times[event["frame"] - 1]) / 1e3
        assert event["seconds"] == pytest.approx(shown, abs=0.006)


def test_what_happens_to_a_face_is_told_with_the_latency_of_the_frames_until_then(
    bundle, clip, capsys
):
    _, (*events, _) = _run_json(capsys, bundle=bundle, video=clip.path)
    totals = {
        event["frame"]: event["latency_ms"]["total"] for event in events if "event" not in event
    }
    happened = [event for event in events if "event" in event]
    assert happened
    for event in happened:
        until = [totals[frame] for frame in totals if frame <= event["frame"]]
        assert event["latency_ms"]["total"]["max"] == pytest.approx(max(until), abs=0.001)
        assert min(until) - 0.001 <= event["latency_ms"]["total"]["p50"] <= max(until)


def test_an_expression_that_nobody_can_be_sure_of_is_uncertain(bundle, clip, capsys):
    doubtful = Smoothing(min_confidence=1.0)
    _, (*events, summary) = _run_json(capsys, bundle=bundle, video=clip.path, smoothing=doubtful)
    assert {event["label"] for event in events} == {"uncertain"}
    assert summary["labels"]["uncertain"] == summary["faces"] > 0


@pytest.mark.parametrize(("asked", "uncertain"), [(None, True), (0.0, False)])
def test_a_bundles_own_threshold_holds_unless_another_is_asked_for(
    maker, clip, capsys, asked, uncertain
):
    sure = maker.bundle("sure.fer", uncertain={"threshold": 1.0})
    options = {"video": clip.path, "max_frames": 5, "smoothing": Smoothing(min_confidence=asked)}
    _, (*events, summary) = _run_json(capsys, bundle=sure, **options)
    assert summary["faces"] > 0
    assert {event["label"] == "uncertain" for event in events} == {uncertain}


def test_the_bundles_crop_rule_is_the_one_that_is_used(maker, clip):
    wide = open_classifier(maker.bundle("wide.fer", crop=CropRule("haar", scale=1.5)))
    assert wide.crop_rule.scale == 1.5
    with open_source(video=clip.path) as source:
        result = next(run_pipeline(source.frames(), EachFrame(HaarDetector()), wide))
        crops = crop_faces(result.frame.gray, [face.box for face in result.faces], wide.crop_rule)
    np.testing.assert_array_equal(
        [face.probabilities for face in result.faces], wide.probabilities(crops)
    )


def test_pictures_of_a_folder_run_and_broken_ones_are_in_the_summary(
    bundle, clip, tmp_path, capsys
):
    with open_source(video=clip.path, colour=True) as source:
        frame = next(source.frames())
    cv2.imwrite(str(tmp_path / "people.png"), frame.colour)
    (tmp_path / "broken.jpg").write_text("no")
    code, (*events, summary) = _run_json(capsys, bundle=bundle, images=tmp_path)
    assert code == 0
    assert {event["image"] for event in events} == {"people.png"}
    assert {event["track"] for event in events} == {None}
    assert summary["frames"]["read"] == summary["frames"]["unreadable"] == 1
    assert summary["notes"] == ["broken.jpg: not a picture that can be read"]


def test_pictures_are_answered_one_by_one_before_the_summary(bundle, clip, tmp_path, capsys):
    with open_source(video=clip.path, colour=True) as source:
        frame = next(source.frames())
    (tmp_path / "few" / "inner").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "few" / "inner" / "people.png"), frame.colour)
    cv2.imwrite(str(tmp_path / "few" / "nobody.png"), np.zeros((90, 90), np.uint8))
    assert run(RunOptions(bundle=bundle, images=tmp_path / "few", save=tmp_path / "out")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "nobody.png  no face"
    assert [line.split("  ")[0] for line in lines[1:3]] == ["inner/people.png"] * 2
    assert "Latency" in lines[3]
    assert (tmp_path / "out" / "inner" / "people.png").is_file()
    video = tmp_path / "out.avi"
    assert run(RunOptions(bundle=bundle, images=tmp_path / "few", save=video)) == 0
    assert cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FRAME_COUNT) == 2


def test_max_frames_ends_a_run_early_and_its_video_is_whole(bundle, clip, tmp_path, capsys):
    target = tmp_path / "new" / "out.mp4"
    code = run(RunOptions(bundle=bundle, video=clip.path, max_frames=7, save=target))
    assert code == 0
    assert cv2.VideoCapture(str(target)).get(cv2.CAP_PROP_FRAME_COUNT) == 7
    shown = capsys.readouterr()
    assert "7 frames in" in shown.out
    assert "verified on this machine" in shown.out
    assert "frame to label" in shown.out
    assert str(target) in shown.err.replace("\n", "")


def test_a_source_that_breaks_in_mid_run_still_gets_its_summary(bundle, clip, capsys, monkeypatch):
    from fer_edge.device.sources.video import VideoFile

    whole = VideoFile.frames

    def breaking(self):
        for frame in whole(self):
            if frame.index == 5:
                raise FerEdgeError("the camera was unplugged")
            yield frame

    monkeypatch.setattr(VideoFile, "frames", breaking)
    with pytest.raises(FerEdgeError, match="unplugged"):
        run(RunOptions(bundle=bundle, video=clip.path, json=True))
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["frames"]["read"] == 5


def test_frames_a_second_do_not_count_the_time_that_an_output_takes_to_open(
    bundle, clip, tmp_path, capsys, monkeypatch
):
    moments: list[float] = []

    class SlowToOpen(LogFile):
        def open(self) -> None:
            time.sleep(0.2)
            super().open()
            moments.append(time.perf_counter())

        def finish(self, summary: dict) -> None:
            moments.append(time.perf_counter())

    monkeypatch.setattr("fer_edge.device.services.LogFile", SlowToOpen)
    services = ServiceOptions(log=tmp_path / "log.jsonl")
    _, (*_, summary) = _run_json(capsys, bundle=bundle, video=clip.path, services=services)
    opened, finished = moments
    assert summary["seconds"] <= finished - opened
    assert summary["fps"] == pytest.approx(24 / summary["seconds"], rel=0.05)


@pytest.mark.parametrize(
    ("option", "value"),
    [("threads", 0), ("max_frames", 0), ("max_frames", -3), ("detect_every", 0), ("min_face", 7)],
)
def test_impossible_numbers_are_refused_by_name(option, value, clip):
    with pytest.raises(FerEdgeError, match=f"--{option.replace('_', '-')}.*{value}"):
        run(RunOptions(video=clip.path, bundle=find_shipped(Path("edge-nano")), **{option: value}))


def test_more_threads_than_cores_are_refused_and_not_started(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    for threads in (4, 99999999999):
        with pytest.raises(FerEdgeError, match=f"{threads} threads .* cores, 3") as caught:
            run(RunOptions(images=tmp_path, threads=threads))
        assert "--threads 3" in caught.value.hint
        with pytest.raises(FerEdgeError, match=f"{threads} threads"):
            fer_edge.open(images=tmp_path, threads=threads)
    check_options(RunOptions(images=tmp_path, threads=3))


def test_a_number_for_tracking_is_checked_where_nothing_is_tracked_as_well(tmp_path):
    with pytest.raises(FerEdgeError, match="--detect-every is at least 1, got 0"):
        run(RunOptions(images=tmp_path, detect_every=0))


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "fer_edge", "run", *map(str, arguments)]


def _user(*arguments: object, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(*arguments), capture_output=True, text=True, timeout=60, **options
    )


def test_bad_input_is_one_line_what_and_one_line_what_to_do(bundle, tmp_path):
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(bytes(range(256)) * 20)
    done = _user(bundle, "--video", noise)
    assert done.returncode == 2
    what, remedy = done.stderr.splitlines()
    assert str(noise) in what
    assert remedy.startswith("  → ")
    assert done.stdout == ""


def test_camera_without_a_number_is_camera_0(bundle):
    if Path("/dev/video0").exists():
        pytest.skip("this machine has a camera")
    done = _user("--camera", bundle)
    assert done.returncode == 2
    assert "/dev/video0" in done.stderr


def test_real_clips_run_whole_and_fast_enough(real_data, bundle, capsys):
    for name, length in (("woman2.mp4", 464), ("test.mp4", 115)):
        code, (*_, summary) = _run_json(capsys, bundle=bundle, video=real_data / "clips" / name)
        assert code == 0
        assert summary["frames"]["read"] == length
        assert summary["frames"]["unreadable"] == 0
        assert summary["frames"]["with_faces"] >= 0.85 * length
        assert summary["fps"] >= 40
