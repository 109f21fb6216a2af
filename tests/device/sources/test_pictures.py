"""Pictures of a folder or an archive as a source, broken ones among them."""

from __future__ import annotations

import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.device.sources import Source
from fer_edge.device.sources.images import Pictures, decode_picture
from fer_edge.errors import FerEdgeError


def _drain(source: Source) -> list[int]:
    with source:
        return [frame.index for frame in source.frames()]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three good pictures among a cut-off JPEG, a cut-off PNG, a fake one and a text file."""
    rng = np.random.default_rng(0)
    for name in ("b.jpg", "a.png", "c.JPG"):
        cv2.imwrite(str(tmp_path / name), rng.integers(0, 256, (60, 80, 3), dtype=np.uint8))
    for name in ("a.png", "b.jpg"):
        data = (tmp_path / name).read_bytes()
        (tmp_path / f"cut-{name}").write_bytes(data[: len(data) // 2])
    (tmp_path / "fake.jpg").write_text("not a picture")
    (tmp_path / "empty.png").touch()
    (tmp_path / "notes.txt").write_text("not meant")
    return tmp_path


def test_pictures_come_in_the_order_of_their_names_and_broken_ones_are_counted(pictures, capfd):
    with Pictures(pictures) as source:
        names = [frame.name for frame in source.frames()]
        counts = source.counts
    assert names == ["a.png", "b.jpg", "c.JPG"]
    assert counts.unreadable == 4
    assert [note.split(":")[0] for note in counts.notes] == [
        "cut-a.png",
        "cut-b.jpg",
        "empty.png",
        "fake.jpg",
    ]
    assert capfd.readouterr().err == ""


def test_a_thumbnails_end_marker_does_not_make_a_cut_off_jpeg_whole(pictures):
    data = (pictures / "b.jpg").read_bytes()
    thumbnail = b"\xff\xe1\x00\x08ab\xff\xd9cd"
    whole, cut = pictures / "whole.jpg", pictures / "cut.jpg"
    whole.write_bytes(data[:2] + thumbnail + data[2:])
    cut.write_bytes(whole.read_bytes()[:-40])
    assert decode_picture(whole.read_bytes()) is not None
    assert decode_picture(cut.read_bytes()) is None


@pytest.mark.parametrize("fills", [1, 2, 9])
def test_bytes_that_fill_up_before_a_jpegs_marker_are_no_damage(pictures, fills):
    data = (pictures / "b.jpg").read_bytes()
    filled = data[:2] + b"\xff" * fills + data[2:]
    assert decode_picture(filled) is not None
    assert decode_picture(filled[:-40]) is None


def test_a_folder_without_pictures_is_refused(tmp_path):
    (tmp_path / "readme.txt").touch()
    with pytest.raises(FerEdgeError, match="no pictures in"):
        _drain(Pictures(tmp_path))


def test_a_folder_of_broken_pictures_is_an_error_that_names_the_first(tmp_path):
    (tmp_path / "one.jpg").write_text("x")
    with pytest.raises(FerEdgeError, match=r"none of the 1 files .* one\.jpg"):
        _drain(Pictures(tmp_path))


def test_a_folder_of_label_folders_gives_all_their_pictures(pictures):
    (pictures / "happy").mkdir()
    (pictures / "b.jpg").rename(pictures / "happy" / "b.jpg")
    (pictures / ".hidden").mkdir()
    (pictures / "c.JPG").rename(pictures / ".hidden" / "c.jpg")
    with Pictures(pictures) as source:
        assert [frame.name for frame in source.frames()] == ["a.png", "happy/b.jpg"]


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_an_archive_gives_its_pictures_in_its_own_order(pictures, tmp_path_factory, suffix):
    path = tmp_path_factory.mktemp("packed") / f"few{suffix}"
    names = ["x/b.jpg", "notes.txt", "x/cut-a.png", "x/._b.jpg", "a.png"]
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as packed:
            for name in names:
                packed.write(pictures / Path(name).name.removeprefix("._"), name)
    else:
        with tarfile.open(path, "w:gz" if suffix == ".tar.gz" else "w") as packed:
            for name in names:
                packed.add(pictures / Path(name).name.removeprefix("._"), name)
    with Pictures(path) as source:
        assert [frame.name for frame in source.frames()] == ["x/b.jpg", "a.png"]
        assert source.counts.notes == ("x/cut-a.png: not a picture that can be read",)


@pytest.mark.parametrize("form", ["folder", "zip", "tar"])
def test_a_terminal_obeys_nothing_in_the_names_of_pictures(pictures, tmp_path_factory, form):
    path = tmp_path_factory.mktemp("odd")
    good, bad = "\x1b[31m1.jpg", "2\r\n\x9b.jpg"
    if form == "folder":
        shutil.copy(pictures / "b.jpg", path / good)
        shutil.copy(pictures / "fake.jpg", path / bad)
    elif form == "zip":
        path /= "few.zip"
        with zipfile.ZipFile(path, "w") as packed:
            packed.write(pictures / "b.jpg", good)
            packed.write(pictures / "fake.jpg", bad)
    else:
        path /= "few.tar"
        with tarfile.open(path, "w") as packed:
            packed.add(pictures / "b.jpg", good)
            packed.add(pictures / "fake.jpg", bad)
    with Pictures(path) as source:
        assert [frame.name for frame in source.frames()] == [r"\x1b[31m1.jpg"]
        (note,) = source.counts.notes
    assert note == r"2\r\n\x9b.jpg: not a picture that can be read"


def test_one_picture_is_enough_whatever_its_name_ends_in(pictures):
    (pictures / "b.jpg").rename(pictures / "face")
    with Pictures(pictures / "face") as source:
        (frame,) = source.frames()
    assert (frame.name, frame.gray.shape) == ("face", (60, 80))
    with pytest.raises(FerEdgeError, match=r"notes\.txt is not a picture") as caught:
        _drain(Pictures(pictures / "notes.txt"))
    assert "--video" in caught.value.hint


def test_a_damaged_archive_is_named(pictures):
    (pictures / "few.zip").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(FerEdgeError, match=r"few\.zip is damaged"):
        _drain(Pictures(pictures / "few.zip"))


@pytest.mark.timeout(5)
def test_a_pipe_is_refused_and_one_in_a_folder_left_out(pictures):
    pipe = pictures / "pipe.png"
    os.mkfifo(pipe)
    with pytest.raises(FerEdgeError, match=r"pipe\.png is a pipe, not a file") as caught:
        _drain(Pictures(pipe))
    assert "to a file first" in caught.value.hint
    with pytest.raises(FerEdgeError, match="is a device or a socket, not a file"):
        _drain(Pictures(Path("/dev/null")))
    with Pictures(pictures) as source:
        assert [frame.name for frame in source.frames()] == ["a.png", "b.jpg", "c.JPG"]
        assert not any("pipe" in note for note in source.counts.notes)


def test_no_such_folder_is_named(tmp_path):
    with pytest.raises(FerEdgeError, match=r"there is no file or folder .*gone"):
        _drain(Pictures(tmp_path / "gone"))
