"""What a device finds at its start: the installed bundle, the one before it, or one nearby."""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from installed import name_of, spoil

from fer_edge.bundle import golden
from fer_edge.cli import main
from fer_edge.device import install as installing
from fer_edge.device.doctor import Finding, examine
from fer_edge.device.install import (
    CURRENT,
    install,
    open_installed,
)
from fer_edge.errors import FerEdgeError


def test_a_current_bundle_that_fails_gives_way_to_the_one_before(
    folder: Path, bundles: list[Path]
) -> None:
    install(bundles[0], folder)
    current = install(bundles[1], folder).current
    said: list[str] = []
    assert open_installed(folder, say=said.append).name == str(current)
    assert said == []
    spoil(current)
    assert open_installed(folder, say=said.append).name == str(folder / "000001.fer")
    assert "is damaged" in said[0]
    assert "using the bundle before it" in said[0]
    assert (folder / CURRENT).resolve() == current, "nothing is changed on disk"


def test_a_current_bundle_whose_model_never_answers_gives_way_too_faked(
    folder: Path, bundles: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(bundles[0], folder)
    current = install(bundles[1], folder).current
    acts = iter([lambda: time.sleep(60)])
    rehearse, said = golden.rehearse, []
    monkeypatch.setattr(
        golden, "rehearse", lambda what, seconds: rehearse(next(acts, what), seconds=1)
    )
    assert open_installed(folder, say=said.append).name == str(folder / "000001.fer")
    assert "did not end within 1 s" in said[0]
    assert str(current) in said[0]


def test_a_machine_without_room_for_a_process_is_no_reason_to_run_an_older_bundle(
    folder: Path, bundles: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(bundles[0], folder)
    install(bundles[1], folder)
    fork, full = os.fork, [True] * 3

    def at_last() -> int:
        if full:
            full.pop()
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        return fork()

    monkeypatch.setattr(os, "fork", at_last)
    with pytest.raises(FerEdgeError, match="no process can be started") as refused:
        open_installed(folder, say=pytest.fail)
    assert refused.value.hint == "end other programs"


def test_when_both_fail_the_current_one_s_failure_is_told(
    folder: Path, bundles: list[Path]
) -> None:
    install(bundles[0], folder)
    current = install(bundles[1], folder).current
    spoil(current)
    (folder / "000001.fer").write_bytes(b"")
    with pytest.raises(FerEdgeError, match=r"000002\.fer is damaged"):
        open_installed(folder)


def test_a_current_bundle_gone_bad_is_not_kept_for_a_rollback(
    folder: Path, bundles: list[Path]
) -> None:
    install(bundles[0], folder)
    spoil(install(bundles[1], folder).current)
    state = install(bundles[2], folder)
    assert state.previous is not None
    assert (state.name, name_of(state.previous)) == ("third", "first")


def test_doctor_names_the_installed_bundle_and_says_when_it_went_bad(
    bundles: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found() -> Finding:
        return next(finding for finding in examine().findings if finding.topic == "bundles")

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(installing, "SYSTEM_FOLDER", tmp_path / "fer-edge" / "bundles")
    monkeypatch.chdir(tmp_path)
    assert found().state == "absent"
    current = install(bundles[0], tmp_path / "fer-edge" / "bundles").current
    assert found().state == "ok"
    assert "current.fer, installed: first, unsigned" in found().detail
    spoil(current)
    assert found().state == "warning"
    assert "bundle rollback" in found().remedy


def test_doctor_says_that_a_bundle_nearby_which_run_would_take_is_damaged(
    bundles: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found() -> Finding:
        return next(finding for finding in examine().findings if finding.topic == "bundles")

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(installing, "SYSTEM_FOLDER", tmp_path / "none")
    monkeypatch.chdir(tmp_path)
    Path("my.fer").write_bytes(bundles[0].read_bytes())
    assert (found().state, found().detail) == ("ok", "my.fer")
    Path("my.fer").write_bytes(bundles[0].read_bytes()[:-100])
    assert found().state == "warning"
    assert "my.fer is damaged" in found().detail
    assert "run takes" in found().detail
    assert "move it away" in found().remedy
    Path("bundles").mkdir()
    Path("bundles/whole.fer").write_bytes(bundles[0].read_bytes())
    assert found().state == "ok", "run takes another one"


def test_run_takes_the_installed_bundle_where_none_is_nearby(
    bundles: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    import cv2

    monkeypatch.setattr(installing, "SYSTEM_FOLDER", tmp_path / "home")
    monkeypatch.setattr(installing, "default_folder", lambda: tmp_path / "user")
    monkeypatch.setattr("fer_edge.shipped.FOLDER", tmp_path / "none")
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "a.png"), np.zeros((64, 64), np.uint8))
    monkeypatch.chdir(tmp_path)
    arguments = ["fer-edge", "run", "--images", "pictures", "--json"]

    def run(*more: str) -> int:
        monkeypatch.setattr(sys, "argv", [*arguments, *more])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    assert run() == 2
    assert "no bundle was named" in capsys.readouterr().err
    install(bundles[0], tmp_path / "home")
    current = install(bundles[1], tmp_path / "home").current
    for more in ((), (str(tmp_path / "home"),)):
        assert run(*more) == 0
        assert str(current) in capsys.readouterr().out
    spoil(current)
    assert run() == 0
    shown = capsys.readouterr()
    assert "using the bundle before it" in shown.err
    assert json.loads(shown.out.splitlines()[-1])["summary"]
