"""Labels for photos: what a labeller says of a photo, mirrored and smaller, must be the same."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from fer_edge import cli
from fer_edge.data.detection import labelling
from fer_edge.data.detection.labelling import consensus, label, label_photos, looks
from fer_edge.errors import FerEdgeError

FACE = np.float32([[20, 10, 40, 50, 30, 25, 50, 25, 40, 35, 32, 48, 48, 48, 0.9]])


def test_a_face_that_every_look_shows_is_labelled_by_their_mean() -> None:
    mean, agreed = consensus(FACE, [FACE, FACE + np.float32([1.5] * 14 + [-0.2])])
    assert agreed.tolist() == [True]
    np.testing.assert_allclose(mean, FACE + np.float32([0.5] * 14 + [0]))


@pytest.mark.parametrize(
    "other", [FACE[:0], FACE + np.float32([30] * 14 + [0]), FACE + np.float32([0] * 4 + [4] * 11)]
)
def test_a_face_that_one_look_lacks_or_has_elsewhere_stays_as_it_was_seen_first(
    other: np.ndarray,
) -> None:
    mean, agreed = consensus(FACE, [FACE, other])
    assert agreed.tolist() == [False]
    np.testing.assert_array_equal(mean, FACE)


def _bright(picture: np.ndarray) -> np.ndarray:
    """Finds a "face" by its light, and of one as large as YuNet does not know only a corner."""
    rows, columns = np.nonzero(picture[..., 0] > 100)
    if not len(rows):
        return np.empty((0, 15), np.float32)
    left, top = columns.min(), rows.min()
    width, height = columns.max() + 1 - left, rows.max() + 1 - top
    if height > 400:
        width, height = width // 8, height // 8
    # the person's right is on the left of the picture
    eyes = [left + 0.25 * width, top, left + 0.75 * width, top]
    mouth = [left + 0.3 * width, top + height, left + 0.7 * width, top + height]
    points = [*eyes, left + width / 2, top + height / 2, *mouth]
    return np.float32([[left, top, width, height, *points, 0.9]])


def test_what_is_found_in_a_mirrored_and_in_a_smaller_photo_comes_back_to_its_place() -> None:
    photo = np.zeros((100, 120, 3), np.uint8)
    photo[30:40, 20:28] = 255
    expected = _bright(photo)
    mirrored, smaller = looks(photo, _bright)
    np.testing.assert_allclose(mirrored, expected, atol=1e-4)
    np.testing.assert_allclose(smaller, expected, atol=1.5)
    assert consensus(expected, [mirrored])[1].all()


def test_a_photo_eight_times_as_large_has_its_faces_eight_times_as_large() -> None:
    photo = np.zeros((300, 320, 3), np.uint8)
    photo[40:280, 60:250] = 255
    small, _ = label(photo, _bright)
    large, agreed = label(cv2.resize(photo, None, fx=8, fy=8), _bright)
    assert agreed.tolist() == [True]
    np.testing.assert_allclose(large[:, :14], 8 * small[:, :14], atol=12)


def test_a_face_too_small_for_the_first_look_at_a_large_photo_is_found_by_the_second() -> None:
    photo = np.zeros((1500, 2000, 3), np.uint8)
    photo[700:730, 900:925] = 255

    def find(picture: np.ndarray) -> np.ndarray:
        found = _bright(picture)
        return found[found[:, 3] >= 12]

    faces, agreed = label(photo, find)
    assert agreed.tolist() == [True]
    np.testing.assert_allclose(faces[0, :4], [900, 700, 25, 30], atol=3)


def _photos(folder: Path) -> Path:
    folder.mkdir()
    for name in ("a.png", "b.png"):
        photo = np.zeros((100, 120), np.uint8)
        photo[30:70, 20:52] = 255
        cv2.imwrite(str(folder / name), photo)
    return folder


def test_a_photo_that_cannot_be_read_is_named_and_the_others_are_labelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labelling, "_finder", lambda yunet: _bright)
    photos = _photos(tmp_path / "photos")
    (photos / "aa.jpg").write_bytes(b"no picture")
    whole = (photos / "a.png").read_bytes()
    (photos / "cut.png").write_bytes(whole[: len(whole) // 2])
    result = CliRunner().invoke(cli.app, ["data", "faces", str(photos), "--yunet", "y.onnx"])
    assert result.exit_code == 0
    said = result.stdout.splitlines()
    assert [line.split(":")[0] for line in said[:2]] == ["aa.jpg", "cut.png"]
    assert said[2] == "2 unreadable, left out"
    assert said[3].startswith("2 photos, 2 faces, 2 found alike three times: ")
    with (tmp_path / "photos.csv").open() as file:
        assert [row["photo"] for row in csv.DictReader(file)] == ["a.png", "b.png"]
    for name in ("a.png", "b.png"):
        (photos / name).write_bytes(b"")
    with pytest.raises(FerEdgeError, match=r"none of the 4 pictures .* an empty file"):
        label_photos(photos, Path("y.onnx"), tmp_path / "other.csv")


def test_labels_that_are_there_are_replaced_only_where_they_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labelling, "_finder", lambda yunet: _bright)
    photos, table = _photos(tmp_path / "photos"), tmp_path / "photos.csv"
    table.write_text("corrected by hand")
    with pytest.raises(FerEdgeError, match="is there already") as refused:
        label_photos(photos, Path("y.onnx"))
    assert f"-o {table}" in refused.value.hint
    assert table.read_text() == "corrected by hand"
    label_photos(photos, Path("y.onnx"), table)
    assert table.read_text().startswith("photo,score")


def test_a_file_that_is_no_yunet_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "yunet.onnx"
    with pytest.raises(FerEdgeError, match="no face detector"):
        label_photos(tmp_path, wrong, tmp_path / "t.csv")
    wrong.write_bytes(b"not a network")
    with pytest.raises(FerEdgeError, match="is not YuNet"):
        label_photos(tmp_path, wrong, tmp_path / "t.csv")
    assert not (tmp_path / "t.csv").exists()


@pytest.mark.parametrize("enlarged", [1, 3])
def test_real_photos_are_labelled_as_their_csv_says(
    real_data: Any, tmp_path: Path, enlarged: int
) -> None:
    with zipfile.ZipFile(real_data / "face-photos.zip") as every:
        names = sorted(name for name in every.namelist() if name.endswith(".jpg"))[:20]
        with zipfile.ZipFile(tmp_path / "some.zip", "w") as some:
            for name in names:
                photo = cv2.imdecode(np.frombuffer(every.read(name), np.uint8), cv2.IMREAD_COLOR)
                photo = cv2.resize(photo, None, fx=enlarged, fy=enlarged)
                some.writestr(name, bytes(cv2.imencode(".jpg", photo)[1]))
    yunet = real_data / "models" / "face_detection_yunet_n.onnx"
    done = label_photos(tmp_path / "some.zip", yunet)
    assert (done.photos, done.unreadable) == (20, ())
    assert done.faces >= done.agreed >= 17
    with (real_data / "face-photos.csv").open() as file:
        known = [row for row in csv.DictReader(file) if row["photo"] in names]
    with (tmp_path / "some.csv").open() as file:
        rows = {row["photo"]: row for row in csv.DictReader(file) if float(row["score"]) > 0.8}
    for row in known:
        if float(row["score"]) > 0.9:
            expected = pytest.approx(enlarged * float(row["x"]), abs=12 * enlarged)
            assert float(rows[row["photo"]]["x"]) == expected
