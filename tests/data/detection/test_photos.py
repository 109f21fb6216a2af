"""Photos with boxes: read, divided by name, refused where they do not fit together."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.data.detection.photos import (
    COLUMNS,
    load_photos,
    read_faces,
    reduced,
    split_by_name,
)
from fer_edge.errors import FerEdgeError

ROW = dict(zip(COLUMNS[1:], (0.9, 10, 12, 30, 40, *range(10)), strict=True))


def _table(path: Path, rows: list[dict[str, object]], columns: tuple[str, ...] = COLUMNS) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def _jpeg(value: int = 90) -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((64, 64), value, np.uint8))[1])


def _folder(tmp_path: Path, count: int = 20) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(count):
        (folder / f"{number}.jpg").write_bytes(_jpeg())
    rows = [{"photo": f"{number}.jpg", **ROW} for number in range(count)]
    _table(tmp_path / "photos.csv", rows)
    return folder


def test_a_zip_a_folder_and_their_csv_are_the_same_photos(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    of_folder = load_photos(folder)
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for path in folder.iterdir():
            archive.writestr(path.name, path.read_bytes())
    of_zip, of_csv = load_photos(tmp_path / "photos.zip"), load_photos(tmp_path / "photos.csv")
    assert of_folder.fingerprint() == of_zip.fingerprint() == of_csv.fingerprint()
    assert len(of_zip) == 20
    assert of_zip.pictures[0].shape == (64, 64)
    np.testing.assert_array_equal(of_zip.faces[0].boxes, [[10, 12, 30, 40]])
    np.testing.assert_array_equal(of_zip.faces[0].landmarks[0, 1], [2, 3])


def test_a_photo_far_larger_than_frames_show_it_is_reduced_and_its_boxes_with_it(
    tmp_path: Path,
) -> None:
    folder, table = tmp_path / "photos", tmp_path / "photos.csv"
    folder.mkdir()
    for name in ("far.jpg", "near.jpg"):
        photo = cv2.imencode(".jpg", np.zeros((2400, 3200), np.uint8))[1]
        (folder / name).write_bytes(bytes(photo))
    far, near = {"h": 100}, {"w": 960, "h": 1280}
    _table(table, [{"photo": n, **ROW, **b} for n, b in (("far.jpg", far), ("near.jpg", near))])
    photos = load_photos(folder)
    assert [picture.shape for picture in photos.pictures] == [(1200, 1600), (600, 800)]
    np.testing.assert_allclose(photos.faces[0].boxes, [[5, 6, 15, 50]])
    np.testing.assert_allclose(photos.faces[1].boxes, [[2.5, 3, 240, 320]])
    np.testing.assert_allclose(photos.faces[1].landmarks[0, 4], [2, 2.25])
    assert reduced(np.zeros((2, 4000), np.uint8), 384)[0].shape == (1, 2000)


def test_a_faint_face_is_uncertain_and_a_photo_of_such_alone_is_left_out(tmp_path: Path) -> None:
    rows = [
        {"photo": "a", **ROW},
        {"photo": "a", **ROW, "score": 0.5},
        {"photo": "b", **ROW, "score": 0.5},
        {"photo": "c", **ROW, "agreed": 0},
        {"photo": "d", **ROW, "agreed": 1},
    ]
    found = read_faces(_table(tmp_path / "t.csv", rows, (*COLUMNS, "agreed")))
    assert sorted(found) == ["a", "d"]
    assert found["a"].certain.tolist() == [True, False]


def test_which_faces_are_certain_moves_no_photo_to_another_split(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    before = dict(zip((p := load_photos(folder)).names, p.splits, strict=True))
    rows = [{"photo": f"{n}.jpg", **ROW, "score": 0.9 if n % 3 else 0.1} for n in range(20)]
    _table(tmp_path / "photos.csv", rows)
    after = load_photos(folder)
    assert len(after) == 13
    assert all(before[name] == split for name, split in zip(after.names, after.splits, strict=True))


def test_splits_are_disjoint_and_follow_from_the_names_alone() -> None:
    names = [f"{number:05}.jpg" for number in range(5000)]
    splits = split_by_name(names)
    assert {s: int((splits == s).sum()) for s in set(splits.tolist())} == {
        "Training": 4000,
        "PublicTest": 500,
        "PrivateTest": 500,
    }
    order = np.random.default_rng(0).permutation(len(names))
    np.testing.assert_array_equal(split_by_name([names[i] for i in order]), splits[order])


def test_drawn_heads_have_their_landmarks_inside_their_boxes() -> None:
    photos = load_photos("synthetic")
    assert set(photos.splits.tolist()) == {"Training", "PublicTest", "PrivateTest"}
    for faces in photos.faces:
        corners = faces.boxes[0, :2], faces.boxes[0, :2] + faces.boxes[0, 2:]
        assert ((faces.landmarks[0] > corners[0]) & (faces.landmarks[0] < corners[1])).all()


def test_what_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    table = tmp_path / "photos.csv"
    good = table.read_text()
    for broken, named in (
        (good.replace("score", "sore"), "score"),
        (good.replace("0.9,", "many,", 1), "line 2"),
        (good.replace(",30,", ",-3,", 1), "-3×40"),
    ):
        table.write_text(broken)
        with pytest.raises(FerEdgeError, match=named):
            load_photos(folder)
    table.write_text(good)
    (folder / "3.jpg").write_bytes(b"no picture")
    with pytest.raises(FerEdgeError, match=r"3\.jpg"):
        load_photos(folder)
    table.unlink()
    with pytest.raises(FerEdgeError, match="no boxes"):
        load_photos(folder)
    with pytest.raises(FerEdgeError, match="no file or folder"):
        load_photos(tmp_path / "nothing.zip")
    with pytest.raises(FerEdgeError, match="no photos of a split 'Holiday'"):
        load_photos("synthetic").select(["Holiday"])
