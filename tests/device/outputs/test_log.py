"""The log file: its size, and what happens when the disk is full or the power was cut."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest
from made import result

from fer_edge.device.outputs import LogFile
from fer_edge.device.outputs.log import FILES, RETRY_S
from fer_edge.errors import FerEdgeError
from fer_edge.labels import LABELS


def _lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_log_holds_every_event_and_the_summary(tmp_path):
    path = tmp_path / "new" / "events.jsonl"
    with LogFile(path, LABELS, limit=1 << 20) as log:
        for index in range(3):
            log.write(result(index))
        log.finish({"summary": True})
    assert [entry.get("frame") for entry in _lines(path)] == [0, 1, 2, None]


def test_a_log_may_hold_what_happens_to_faces_alone(tmp_path):
    path = tmp_path / "events.jsonl"
    with LogFile(path, LABELS, limit=1 << 20, faces=False, every_frame=True) as log:
        for index in range(30):
            log.write(result(index, faces=index % 2, event="change" if index == 7 else None))
        log.finish({"summary": True})
    change, summary = _lines(path)
    assert (change["event"], change["frame"], summary) == ("change", 7, {"summary": True})


def test_a_log_is_rotated_and_its_parts_together_stay_within_the_limit(tmp_path):
    path, limit = tmp_path / "events.jsonl", 20_000
    with LogFile(path, LABELS, limit=limit) as log:
        for index in range(400):
            log.write(result(index))
    parts = sorted(tmp_path.iterdir())
    assert [part.name for part in parts] == ["events.jsonl"] + [
        f"events.jsonl.{age}" for age in range(1, FILES)
    ]
    assert limit / 2 < sum(part.stat().st_size for part in parts) <= limit
    frames = [entry["frame"] for part in [*parts[:0:-1], path] for entry in _lines(part)]
    assert frames == list(range(frames[0], 400))


def test_a_line_that_a_power_cut_left_half_is_taken_back(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"frame": 1}\n{"frame": 2, "lab')
    with LogFile(path, LABELS, limit=1 << 20) as log:
        log.write(result(3))
    assert [entry["frame"] for entry in _lines(path)] == [1, 3]


def test_a_log_that_a_power_cut_left_full_of_zeros_begins_anew(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(bytes(9000))
    with LogFile(path, LABELS, limit=1 << 20) as log:
        log.write(result(3))
    assert [entry["frame"] for entry in _lines(path)] == [3]


@pytest.mark.parametrize("content", [b"a note to myself", b"\0\0\0\x18ftypmp42\n", b"{\n", b"\n"])
def test_a_file_that_is_no_log_is_refused_and_stays_as_it_was(tmp_path, content):
    path = tmp_path / "todo.txt"
    path.write_bytes(content)
    with pytest.raises(FerEdgeError, match=r"todo\.txt: it holds something that is no") as caught:
        LogFile(path, LABELS, limit=1 << 20).open()
    assert "another file" in caught.value.hint
    assert path.read_bytes() == content


def test_a_file_that_is_no_log_and_takes_its_name_in_mid_run_stays_as_it_was(tmp_path):
    path, said = tmp_path / "events.jsonl", []
    with LogFile(path, LABELS, limit=1 << 20, report=said.append) as log:
        log.write(result(0))
        path.unlink()
        path.write_text("a note to myself")
        log.write(result(1))
    assert path.read_text() == "a note to myself"
    assert log.lost == 1
    assert "it holds something that is no log; going on without" in said[0]


@pytest.mark.parametrize("half", ["{", '{"', '{"fra'])
def test_a_log_that_a_power_cut_left_with_half_a_line_alone_is_gone_on_with(tmp_path, half):
    path = tmp_path / "events.jsonl"
    path.write_text(half)
    with LogFile(path, LABELS, limit=1 << 20) as log:
        log.write(result(3))
    assert [entry["frame"] for entry in _lines(path)] == [3]


def test_all_parts_of_a_linked_log_lie_where_the_link_leads(tmp_path):
    link, disk = tmp_path / "events.jsonl", tmp_path / "disk"
    disk.mkdir()
    link.symlink_to(disk / "kept.jsonl")
    with LogFile(link, LABELS, limit=20_000) as log:
        for index in range(400):
            log.write(result(index))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "events.jsonl"]
    assert link.readlink() == disk / "kept.jsonl"
    assert sorted(path.name for path in disk.iterdir()) == ["kept.jsonl"] + [
        f"kept.jsonl.{age}" for age in range(1, FILES)
    ]


def _fill(ballast: Path) -> None:
    """Take all that is left of a disk."""
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_a_full_disk_is_said_once_and_counted_and_the_log_goes_on_when_there_is_space(full_disk):
    path, ballast = full_disk / "events.jsonl", full_disk / "ballast"
    said: list[str] = []
    now = [0.0]
    log = LogFile(path, LABELS, limit=1 << 20, report=said.append, clock=lambda: now[0])
    with log:
        log.write(result(0))
        _fill(ballast)
        index = 0
        while not log.lost:  # the log's last block had room
            index += 1
            log.write(result(index))
        log.write(result(index + 1))
        assert len(said) == 1
        assert "no space left" in said[0]
        assert "going on without" in said[0]
        ballast.unlink()
        log.write(result(index + 2))
        assert log.lost == 3
        now[0] += RETRY_S
        log.write(result(index + 3))
        assert "written again; 3 lines are missing" in said[1]
        assert len(said) == 2
    *before, gap, after = _lines(path)
    assert [entry["frame"] for entry in before] == list(range(index))
    assert gap == {"gap": 3}
    assert after["frame"] == index + 3


def test_a_run_that_ends_on_a_full_disk_says_what_is_missing(full_disk):
    path = full_disk / "events.jsonl"
    said: list[str] = []
    with LogFile(path, LABELS, limit=4 << 20, report=said.append) as log:
        for index in range(2000):
            log.write(result(index))
        log.finish({"summary": "x" * 300_000})
    assert f"lacks the last {log.lost} lines" in said[-1]
    assert len(_lines(path)) + log.lost == 2001


@pytest.mark.parametrize("folder", ["/dev/null", "/proc"])
def test_a_log_that_cannot_be_written_is_refused_at_the_start(folder):
    log = LogFile(Path(folder) / "events.jsonl", LABELS, limit=1 << 20)
    with pytest.raises(FerEdgeError, match="cannot write the log"), log:
        pass


def test_a_log_that_somebody_tidied_away_is_begun_anew(tmp_path):
    path = tmp_path / "events.jsonl"
    with LogFile(path, LABELS, limit=1 << 20) as log:
        log.write(result(0))
        path.rename(tmp_path / "kept.jsonl")
        log.write(result(1))
        path.unlink()
        log.write(result(2))
        assert log.lost == 0
    assert [entry["frame"] for entry in _lines(path)] == [2]
    assert [entry["frame"] for entry in _lines(tmp_path / "kept.jsonl")] == [0]


def test_two_runs_do_not_write_one_log(tmp_path):
    path = tmp_path / "events.jsonl"
    with LogFile(path, LABELS, limit=1 << 20) as log:
        log.write(result(0))
        with pytest.raises(FerEdgeError, match=f"another run writes to the log {path}"):
            LogFile(path, LABELS, limit=1 << 20).open()
        log.write(result(1))
    with LogFile(path, LABELS, limit=1 << 20) as log:
        log.write(result(2))
    assert [entry["frame"] for entry in _lines(path)] == [0, 1, 2]


def test_a_file_that_cannot_be_closed_ends_no_run(tmp_path, monkeypatch):
    said = []
    path = tmp_path / "events.jsonl"
    log = LogFile(path, LABELS, limit=1 << 20, report=said.append)
    log.open()

    def close(file):
        raise OSError(5, "Input/output error")

    def full(file, data):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "close", close)
        patch.setattr(os, "write", full)
        log.write(result(0))
    assert log.lost == 1
    assert "no space left on device" in said[0]
