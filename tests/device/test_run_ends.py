"""What ``fer-edge run`` leaves when somebody goes, and what it does not touch or trust."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from made import vitals

from fer_edge.bundle.signing import make_keys
from fer_edge.device.detectors import open_detector
from fer_edge.device.outputs.base import OutputClosed
from fer_edge.device.outputs.log import LogFile
from fer_edge.device.run import RunOptions, _End, _finish, run
from fer_edge.device.services import ServiceOptions
from fer_edge.device.sources import open_source
from fer_edge.errors import FerEdgeError
from fer_edge.shipped import shipped_detector


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "fer_edge", *map(os.fspath, arguments)]


def _user(*arguments: object, **options) -> subprocess.CompletedProcess[str]:
    command = _command(*arguments)
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory, clip) -> Path:
    """The clip over and over, about a minute's work."""
    path = tmp_path_factory.mktemp("long") / "long.avi"
    with open_source(video=clip.path, colour=True) as source:
        pictures = [frame.colour for frame in source.frames()]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (320, 180))
    for number in range(4000):
        writer.write(pictures[number % len(pictures)])
    writer.release()
    return path


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0), (signal.SIGHUP, 130)]
)
def test_a_signal_ends_the_run_with_its_summary_and_a_whole_video(
    bundle, long_clip, tmp_path, number, code
):
    video = tmp_path / "out.avi"
    command = _command("run", bundle, "--video", long_clip, "--json", "--save", video)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as it:
        first = json.loads(it.stdout.readline())
        it.send_signal(number)
        it.send_signal(number)  # timeout(1) and others send it twice
        rest, messages = it.communicate(timeout=30)
    assert it.returncode == code, messages
    summary = json.loads(rest.splitlines()[-1])
    assert first["frame"] == 0
    assert summary["interrupted"] is True
    frames = cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FRAME_COUNT)
    assert 0 < frames == summary["frames"]["read"] < 4000
    assert list(tmp_path.iterdir()) == [video]


def test_a_closed_pipe_ends_the_run_quietly(bundle, long_clip):
    command = _command("run", bundle, "--video", long_clip, "--json")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as it:
        it.stdout.readline()
        it.stdout.close()
        assert it.wait(timeout=30) == 0
        assert "no signature was checked" in it.stderr.readline()
        assert it.stderr.read() == ""


@pytest.fixture
def empty_clip(tmp_path: Path) -> Path:
    """Ten frames without a face."""
    path = tmp_path / "nobody.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (160, 120))
    for _ in range(10):
        writer.write(np.full((120, 160, 3), 90, np.uint8))
    writer.release()
    return path


def test_a_reader_that_has_gone_before_the_summary_costs_neither_the_log_nor_the_video(
    bundle, empty_clip, tmp_path
):
    log, video = tmp_path / "log.jsonl", tmp_path / "out.avi"
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "fer_edge", "run", bundle, "--video", empty_clip, "--json"]
    command += ["--log", log, "--save", video]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(write)
    (line,) = done.stderr.splitlines()
    assert (done.returncode, "no signature was checked" in line) == (0, True)
    assert json.loads(log.read_text().splitlines()[-1])["frames"]["read"] == 10
    assert video.stat().st_size > 1000


def test_an_error_that_cannot_be_said_has_its_exit_code():
    command = [sys.executable, "-m", "fer_edge", "run", "--video", "absent.mp4"]
    with Path("/dev/full").open("w") as full:
        assert subprocess.run(command, stderr=full, timeout=60).returncode == 2


def test_an_output_that_fails_in_the_end_does_not_keep_the_summary_from_the_others():
    class Ends:
        def __init__(self, error: Exception | None = None) -> None:
            self.error, self.told = error, False

        def finish(self, summary: dict) -> None:
            self.told = True
            if self.error:
                raise self.error

    full = FerEdgeError("no space left on device")
    outputs = [Ends(full), Ends(OutputClosed(unread=True)), Ends()]
    ended = _finish(outputs, {}, _End())
    assert all(output.told for output in outputs)
    assert (ended.unfinished, ended.unread, ended.failure) == (full, True, None)


def test_the_video_that_is_read_is_not_replaced(bundle, empty_clip, tmp_path):
    link = tmp_path / "link.avi"
    link.symlink_to(empty_clip)
    before = empty_clip.read_bytes()
    for target in (empty_clip, link):
        with pytest.raises(FerEdgeError, match="would replace the video that is read"):
            run(RunOptions(bundle=bundle, video=empty_clip, save=target))
    assert empty_clip.read_bytes() == before


def test_a_log_takes_neither_the_video_that_is_read_nor_the_one_that_is_saved(
    bundle, empty_clip, tmp_path
):
    before, saved = empty_clip.read_bytes(), tmp_path / "new" / ".." / "out.avi"
    with pytest.raises(FerEdgeError, match="something that is no log"):
        run(RunOptions(bundle=bundle, video=empty_clip, services=ServiceOptions(log=empty_clip)))
    with pytest.raises(FerEdgeError, match="--log and --save are one file"):
        run(
            RunOptions(
                bundle=bundle,
                video=empty_clip,
                save=saved,
                services=ServiceOptions(log=tmp_path / "out.avi"),
            )
        )
    assert empty_clip.read_bytes() == before
    assert list(tmp_path.iterdir()) == [empty_clip]


def test_a_detector_is_held_to_the_keys_that_the_run_is(tmp_path, monkeypatch):
    shipped = shipped_detector()
    assert shipped is not None
    other = make_keys(tmp_path / "other.key", tmp_path / "other.pub", "")
    assert open_detector("own", keys=[other]).name == "own", "the package's own key counts there"
    monkeypatch.chdir(tmp_path)
    Path("detector.fer").write_bytes(shipped.read_bytes())
    with pytest.raises(FerEdgeError, match="not trusted here"):
        open_detector("own", keys=[other])
    with pytest.raises(FerEdgeError, match="not trusted here"):
        open_detector("detector.fer", keys=[other])


def test_names_that_are_not_utf8_are_one_line_or_escapes(bundle, empty_clip, tmp_path):
    strange = os.fsdecode(os.fsencode(tmp_path / "caf") + b"\xe9.avi")
    Path(strange).write_bytes(empty_clip.read_bytes())
    read = _user("run", bundle, "--video", strange)
    saved = _user("run", bundle, "--video", empty_clip, "--save", strange)
    for done in (read, saved):
        assert done.returncode == 2
        assert r"caf\xe9.avi is not UTF-8" in done.stderr
    log = LogFile(tmp_path / "log.jsonl", vitals().classifier.labels, limit=10**6)
    with log:
        log.finish({"image": os.path.basename(strange)})  # noqa: PTH119
    assert json.loads((tmp_path / "log.jsonl").read_text()) == {"image": "caf\udce9.avi"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_path_that_may_not_be_looked_into_is_one_line(tmp_path):
    private = tmp_path / "private"
    private.mkdir(mode=0)
    done = _user("run", private / "x.fer", "--video", private / "x.avi")
    assert done.returncode == 2
    assert "permission denied" in done.stderr
