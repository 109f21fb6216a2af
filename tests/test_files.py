"""Artefacts appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import math
import stat
from pathlib import Path

import pytest

from fer_edge.errors import FerEdgeError
from fer_edge.files import atomic_folder, atomic_path, json_text, sha256, write_text


def _listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_file_appears_under_its_name_only_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "new" / "model.keras"
    with atomic_path(target) as temporary:
        temporary.write_bytes(b"whole")
        assert temporary.suffix == ".keras"
        assert not target.exists()
    assert target.read_bytes() == b"whole"
    assert _listing(tmp_path) == ["new", "new/model.keras"]


@pytest.mark.parametrize("name", ["a" * 250 + ".jpg", "é" * 125 + ".jpg"])
def test_a_name_may_be_as_long_as_the_file_system_takes_it(tmp_path: Path, name: str) -> None:
    write_text(tmp_path / name, "whole")
    for _ in range(2):
        with atomic_folder(tmp_path / f"{name[4:]}.dir") as temporary:
            (temporary / "new.txt").write_text("new")
    assert _listing(tmp_path) == sorted([name, f"{name[4:]}.dir", f"{name[4:]}.dir/new.txt"])


def test_a_name_too_long_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FerEdgeError, match="file name too long") as caught:
        write_text(tmp_path / ("a" * 300), "x")
    assert "shorter name" in caught.value.hint
    assert _listing(tmp_path) == []


@pytest.mark.parametrize("error", [RuntimeError("mine"), KeyboardInterrupt()])
def test_an_exception_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: BaseException
) -> None:
    target = tmp_path / "metrics.json"
    target.write_text("old")

    def write() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(type(error)):
        write()
    assert target.read_text() == "old"
    assert _listing(tmp_path) == ["metrics.json"]


def test_a_written_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    plain, artefact = tmp_path / "plain", tmp_path / "artefact"
    plain.write_text("")
    write_text(artefact, "")
    assert stat.S_IMODE(artefact.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_path_below_a_file_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FerEdgeError, match=r"cannot write .*report") as caught:
        write_text(tmp_path / "file" / "report.txt", "x")
    assert "choose another folder" in caught.value.hint
    assert _listing(tmp_path) == ["file"]


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "report.txt").mkdir()
    with pytest.raises(FerEdgeError, match="is a directory") as caught:
        write_text(tmp_path / "report.txt", "x")
    assert "name a file" in caught.value.hint
    assert _listing(tmp_path) == ["report.txt"]


def test_a_full_disk_is_named_and_leaves_nothing_half_written(full_disk: Path) -> None:
    with pytest.raises(FerEdgeError, match="no space left") as caught:
        write_text(full_disk / "large.txt", "x" * 300_000)
    assert "free some space" in caught.value.hint
    assert _listing(full_disk) == []


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "run"
    target.mkdir()
    (target / "old.txt").write_text("old")
    with atomic_folder(target) as temporary:
        (temporary / "new.txt").write_text("new")
        assert _listing(target) == ["old.txt"]
    assert _listing(tmp_path) == ["run", "run/new.txt"]


def test_a_folder_that_failed_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "run"
    target.mkdir()
    (target / "old.txt").write_text("old")

    def write() -> None:
        with atomic_folder(target) as temporary:
            (temporary / "new.txt").write_text("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()
    assert _listing(tmp_path) == ["run", "run/old.txt"]


def test_a_folder_comes_back_when_the_new_one_cannot_take_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "run"
    target.mkdir()
    (target / "old.txt").write_text("old")
    replace = Path.replace

    def failing(self: Path, to: Path) -> Path:
        if (self / "new.txt").exists():
            raise OSError(5, "Input/output error")
        return replace(self, to)

    monkeypatch.setattr(Path, "replace", failing)
    with (
        pytest.raises(FerEdgeError, match="input/output error"),
        atomic_folder(target) as temporary,
    ):
        (temporary / "new.txt").write_text("new")
    monkeypatch.undo()
    assert _listing(tmp_path) == ["run", "run/old.txt"]


def test_the_checksum_is_sha256(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(content)
    assert sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_json_is_strict_and_what_is_no_number_is_null() -> None:
    content = {"drop": math.nan, "range": (0.5, math.inf), "images": 7, "labels": ["sad"]}
    assert json.loads(json_text(content), parse_constant=pytest.fail) == {
        "drop": None,
        "range": [0.5, None],
        "images": 7,
        "labels": ["sad"],
    }
