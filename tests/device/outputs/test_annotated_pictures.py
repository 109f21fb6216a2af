"""Annotated pictures: under their own names, and never over those that are read."""

from __future__ import annotations

import cv2
import pytest
from made import result

from fer_edge.device.outputs import AnnotatedPictures
from fer_edge.device.outputs.drawing import annotated
from fer_edge.errors import FerEdgeError


def test_pictures_are_drawn_into_under_their_own_names(tmp_path):
    names = ("a.jpg", "x/b.png", "c.pgm", "../../up.png", "/root.bmp", "none")
    with AnnotatedPictures(tmp_path / "out", tmp_path / "few.zip") as output:
        for name in names:
            output.write(result(name=name))
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
            output.write(result(name=name))
        output.write(result(name=f"/{tmp_path}/d.jpg"))
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
        output.write(result(name="a.jpg", size=(60, 17000)))
    assert ".png" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_one_picture_is_drawn_into_a_file(tmp_path):
    with AnnotatedPictures(tmp_path / "out.png", tmp_path / "a.jpg") as output:
        output.write(result(name="a.jpg"))
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


def test_drawing_leaves_the_frame_as_it_was():
    drawn = result()
    picture = annotated(drawn)
    assert picture.shape == (120, 160, 3)
    assert (picture != 77).any()
    assert (drawn.frame.gray == 77).all()
