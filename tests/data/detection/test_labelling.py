"""Labels for photos: what a labeller says of a photo, mirrored and smaller, must be the same."""

from __future__ import annotations

import csv
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fer_edge.data.detection.labelling import consensus, label_photos, looks
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


def test_what_is_found_in_a_mirrored_and_in_a_smaller_photo_comes_back_to_its_place() -> None:
    photo = np.zeros((100, 120, 3), np.uint8)
    photo[30:40, 20:28] = 255  # a "face" that the finder below finds by its light

    def find(picture: np.ndarray) -> np.ndarray:
        rows, columns = np.nonzero(picture[..., 0] > 100)
        left, top = columns.min(), rows.min()
        width, height = columns.max() + 1 - left, rows.max() + 1 - top
        # the person's right is on the left of the picture
        eyes = [left + 0.25 * width, top, left + 0.75 * width, top]
        mouth = [left + 0.3 * width, top + height, left + 0.7 * width, top + height]
        points = [*eyes, left + width / 2, top + height / 2, *mouth]
        return np.float32([[left, top, width, height, *points, 0.9]])

    expected = find(photo)
    mirrored, smaller = looks(photo, find)
    np.testing.assert_allclose(mirrored, expected, atol=1e-4)
    np.testing.assert_allclose(smaller, expected, atol=1.5)
    assert consensus(expected, [mirrored])[1].all()


def test_a_file_that_is_no_yunet_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "yunet.onnx"
    with pytest.raises(FerEdgeError, match="no face detector"):
        label_photos(tmp_path, wrong, tmp_path / "t.csv")
    wrong.write_bytes(b"not a network")
    with pytest.raises(FerEdgeError, match="is not YuNet"):
        label_photos(tmp_path, wrong, tmp_path / "t.csv")
    assert not (tmp_path / "t.csv").exists()


def test_real_photos_are_labelled_as_their_csv_says(tmp_path: Path) -> None:
    data = os.environ.get("FER_EDGE_DATA")
    if not data:
        pytest.skip("FER_EDGE_DATA names no folder with face-photos.zip and YuNet")
    with zipfile.ZipFile(Path(data) / "face-photos.zip") as every:
        names = sorted(name for name in every.namelist() if name.endswith(".jpg"))[:20]
        with zipfile.ZipFile(tmp_path / "some.zip", "w") as some:
            for name in names:
                some.writestr(name, every.read(name))
    yunet = Path(data) / "models" / "face_detection_yunet_n.onnx"
    count, found, agreed = label_photos(tmp_path / "some.zip", yunet, tmp_path / "some.csv")
    assert count == 20
    assert found >= agreed >= 17
    with (Path(data) / "face-photos.csv").open() as file:
        known = [row for row in csv.DictReader(file) if row["photo"] in names]
    with (tmp_path / "some.csv").open() as file:
        rows = {row["photo"]: row for row in csv.DictReader(file) if float(row["score"]) > 0.8}
    for row in known:
        if float(row["score"]) > 0.9:
            assert float(rows[row["photo"]]["x"]) == pytest.approx(float(row["x"]), abs=12)
