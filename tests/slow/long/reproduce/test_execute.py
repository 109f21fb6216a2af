"""Tasks side by side: failures, GPUs, Ctrl-C."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fer_edge.signals import PARENT
from fer_edge.train.reproduce.execute import LocalExecutor, Task


def task(name: str, tmp_path: Path, *arguments: str) -> Task:
    return Task(name, arguments, tmp_path / f"{name}.log", tmp_path / f"{name}.out")


def test_tasks_run_side_by_side_and_a_failed_one_stops_nobody(tmp_path: Path) -> None:
    tasks = [
        task("version", tmp_path, "--version"),
        task("wrong", tmp_path, "data", "inspect", "nowhere.csv"),
        task("again", tmp_path, "--version"),
    ]
    codes = {each.name: code for each, code in LocalExecutor(2).run(tasks, lambda: None)}
    assert codes == {"version": 0, "wrong": 2, "again": 0}
    assert "nowhere.csv" in (tmp_path / "wrong.log").read_text()
    assert (tmp_path / "version.out").read_text().startswith("fer-edge ")


def test_jobs_take_turns_on_the_gpus_that_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    seen = []
    start = subprocess.Popen

    def spy(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        seen.append(options["env"]["CUDA_VISIBLE_DEVICES"])
        return start(*arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", spy)
    tasks = [task(f"version{n}", tmp_path, "--version") for n in range(2)]
    assert [code for _, code in LocalExecutor(2).run(tasks, lambda: None)] == [0, 0]
    assert sorted(seen) == ["4", "7"]


def test_a_task_is_told_whose_end_is_to_be_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, start = [], subprocess.Popen

    def spy(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        told.append(options["env"][PARENT])
        return start(*arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", spy)
    (ended,) = LocalExecutor(1).run([task("version", tmp_path, "--version")], lambda: None)
    assert ended[1] == 0
    assert told == [str(os.getpid())]


def test_ctrl_c_ends_the_running_task_and_starts_no_other(tmp_path: Path) -> None:
    marker = tmp_path / "second.npz"
    slow = ("data", "synth", "-o", str(tmp_path / "first.npz"), "--faces", "100000")
    tasks = [
        task("first", tmp_path, *slow),
        task("second", tmp_path, "data", "synth", "-o", str(marker), "--faces", "70"),
    ]

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(LocalExecutor(1).run(tasks, interrupted))
    assert not (tmp_path / "first.npz").exists()
    assert not (tmp_path / "second.log").exists()
