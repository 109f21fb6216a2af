"""Faces cut out of photographs, and what tells these from pictures of cropped faces."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from data_samples import pack
from typer.testing import CliRunner, Result

from fer_edge import cli
from fer_edge.data import load_dataset, photographs
from fer_edge.data.synthetic import synthetic_faces
from fer_edge.device.detectors import open_detector
from fer_edge.device.sources.images import Pictures
from fer_edge.errors import FerEdgeError
from fer_edge.face import HAAR, crop_faces, rule_for

FACES = synthetic_faces(70).faces


def crop(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, ["data", "crop", *map(str, arguments)])


def scene(*faces: tuple[int, int], seed: int = 0) -> np.ndarray:
    """A photograph of 640×480 with drawn heads; each of (number, side in pixels)."""
    gray = np.random.default_rng(seed).integers(100, 120, (480, 640)).astype(np.uint8)
    left = 40
    for number, side in faces:
        face = cv2.resize(FACES[number], (side, side), interpolation=cv2.INTER_CUBIC)
        gray[100 : 100 + side, left : left + side] = face
        left += side + 40
    return gray


def large(number: int) -> np.ndarray:
    """A picture of a cropped face."""
    return cv2.resize(FACES[number], (224, 224), interpolation=cv2.INTER_CUBIC)


def write(folder: Path, pictures: dict[str, np.ndarray]) -> Path:
    for name, picture in pictures.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), picture)
    return folder


def test_the_largest_face_is_cut_out_as_run_cuts_it_out(tmp_path: Path) -> None:
    pictures = {
        "happy/1.png": scene((0, 150)),
        "train/sad/2.webp": scene((1, 110), (2, 220)),
        "sad/empty.png": scene(),
    }
    photos = write(tmp_path / "photos", pictures)
    (photos / "labels.txt").write_text("sad\nhappy\n")
    (photos / "happy" / "broken.jpg").write_bytes(b"\xff\xd8 no more")
    done = crop(photos, "-o", tmp_path / "faces", "--json")
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert (told["photos"], told["faces"], told["several"]) == (4, 2, 1)
    assert told["without"] == ["sad/empty.png"]
    assert told["unreadable"] == ["happy/broken.jpg: not a picture that can be read"]

    detector = open_detector()
    source = Pictures(photos)
    with source:
        for frame in source.frames():
            boxes = detector.detect(frame.gray)[:1]
            rule = rule_for(detector.crop_rule, HAAR)
            for face in crop_faces(frame.gray, boxes, rule, detector.tilts[:1]):
                file = (tmp_path / "faces" / str(frame.name)).with_suffix(".png")
                np.testing.assert_array_equal(cv2.imread(str(file), cv2.IMREAD_UNCHANGED), face)
    written = {str(file.relative_to(tmp_path / "faces")) for file in tmp_path.glob("faces/**/*.*")}
    assert written == {"happy/1.png", "train/sad/2.png", "labels.txt"}
    assert load_dataset(tmp_path / "faces").labels == ("sad", "happy")


def test_the_devices_own_detector_can_be_named(tmp_path: Path) -> None:
    photos = write(tmp_path / "photos", {"1.png": scene((0, 150))})
    assert crop(photos, "-o", tmp_path / "faces", "--detector", "haar").exit_code == 0
    gray = scene((0, 150))
    (face,) = crop_faces(gray, open_detector("haar").detect(gray), HAAR)
    written = cv2.imread(str(tmp_path / "faces" / "1.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(written, face)


def test_what_was_left_out_is_told_by_name(tmp_path: Path) -> None:
    photos = write(tmp_path / "photos", {"1.png": scene((0, 150)), "2.png": scene()})
    told = crop(photos, "-o", tmp_path / "faces").stdout
    assert "no face found: 2.png" in told
    assert "1 faces out of 2 pictures" in told


def test_pictures_of_a_kind_that_is_not_read_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photos = write(tmp_path / "photos", {"happy/1.png": scene((0, 150))})
    (photos / "labels.txt").write_text("happy\nsad\n")
    for name in ("sad/2.heic", "3.HEIC", ".hidden"):
        (photos / name).parent.mkdir(exist_ok=True)
        (photos / name).write_bytes(b"")
    assert crop(photos, "-o", tmp_path / "faces").exit_code == 0
    (told,) = (record.getMessage() for record in caplog.records)
    assert told.startswith(f"2 other files were left out, such as {photos / '3.HEIC'}: pictures")


def test_a_zip_with_backslashes_gives_folders(tmp_path: Path) -> None:
    picture = cv2.imencode(".png", scene((0, 150)))[1].tobytes()
    photos = pack(tmp_path / "photos.zip", {"mine\\sad\\1.png": picture, "..\\2.png": picture})
    assert crop(photos, "-o", tmp_path / "a" / "faces").exit_code == 0
    written = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.png")}
    assert written == {"a/faces/mine/sad/1.png", "a/faces/2.png"}


def test_pictures_that_differ_in_their_suffixes_alone_give_a_file_each(tmp_path: Path) -> None:
    pictures = {f"happy/1{suffix}": scene((n, 150)) for n, suffix in enumerate((".jpg", ".png"))}
    crop(write(tmp_path / "photos", pictures), "-o", tmp_path / "faces")
    names = sorted(file.name for file in (tmp_path / "faces" / "happy").iterdir())
    assert names == ["1.png", "1.png.png"]


def test_every_photograph_of_an_archive_gives_a_file(tmp_path: Path) -> None:
    picture = cv2.imencode(".png", scene((0, 150)))[1].tobytes()
    names = ("a.jpg", "a.png", "../a.jpg", "/a.jpg")
    photos = pack(tmp_path / "photos.zip", dict.fromkeys(names, picture))
    done = crop(photos, "-o", tmp_path / "a" / "faces")
    assert "4 faces out of 4 pictures" in done.stdout
    written = {str(file.relative_to(tmp_path / "a" / "faces")) for file in tmp_path.rglob("*.png")}
    assert written == {"a.png", "a.png.png", "a.jpg.png", "a.jpg.2.png"}


def test_the_labels_of_an_archive_come_along(tmp_path: Path) -> None:
    picture = cv2.imencode(".png", scene((0, 150)))[1].tobytes()
    files = {
        "mine/sad/1.png": picture,
        "mine/happy/1.png": picture,
        "mine/labels.txt": b"sad\nhappy\n",
    }
    photos = pack(tmp_path / "mine.zip", files)
    assert crop(photos, "-o", tmp_path / "faces").exit_code == 0
    assert load_dataset(tmp_path / "faces").labels == ("sad", "happy")


def test_an_archive_writes_nowhere_but_into_the_folder(tmp_path: Path) -> None:
    picture = cv2.imencode(".png", scene((0, 150)))[1].tobytes()
    photos = pack(tmp_path / "photos.zip", {"../../happy/1.png": picture, "/sad/2.png": picture})
    assert crop(photos, "-o", tmp_path / "a" / "faces").exit_code == 0
    written = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.png")}
    assert written == {"a/faces/happy/1.png", "a/faces/sad/2.png"}


def test_nothing_is_written_where_no_face_is_found(tmp_path: Path) -> None:
    photos = write(tmp_path / "photos", {"1.png": scene(), "2.png": scene(seed=1)})
    refused = crop(photos, "-o", tmp_path / "faces").exception
    assert isinstance(refused, FerEdgeError)
    assert "no face was found in any of the 2 pictures" in refused.message
    assert [file.name for file in tmp_path.iterdir()] == ["photos"]


@pytest.mark.parametrize(
    ("folder", "message"), [("other", "is there already"), ("photos/faces", "lies inside of")]
)
def test_a_folder_with_something_in_it_is_left_alone(
    folder: str, message: str, tmp_path: Path
) -> None:
    photos = write(tmp_path / "photos", {"1.png": scene((0, 150))})
    write(tmp_path / "other", {"kept.png": scene()})
    refused = crop(photos, "-o", tmp_path / folder).exception
    assert isinstance(refused, FerEdgeError)
    assert message in refused.message
    assert len(list(tmp_path.rglob("*.png"))) == 2


@pytest.mark.parametrize("kind", ["photographs", "without faces", "crops", "tight crops", "small"])
def test_pictures_that_look_like_photographs_are_told(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make = {
        "photographs": lambda n: scene((n, 180))[:, :480],
        "without faces": lambda n: scene(seed=n)[:, :480],
        "crops": large,
        "tight crops": lambda n: large(n)[36:-36, 36:-36],
        "small": lambda n: cv2.resize(scene((n, 180))[:, :480], (64, 64)),
    }[kind]
    folder = write(tmp_path / "my faces", {f"happy/{n}.png": make(n) for n in range(25)})
    load_dataset(folder)
    told = " ".join(record.getMessage() for record in caplog.records)
    if kind in ("photographs", "without faces"):
        assert f"in {photographs.LOOKED_AT} of {photographs.LOOKED_AT} pictures" in told
        assert f"fer-edge data crop '{folder}' -o '{folder}-faces'" in told
    else:
        assert told == ""


def test_a_photograph_too_oblong_is_refused_with_the_command_that_crops_it(tmp_path: Path) -> None:
    folder = write(tmp_path / "photos", {"happy/1.jpg": np.zeros((90, 160), np.uint8)})
    with pytest.raises(FerEdgeError, match="160×90 pixels, too oblong") as refused:
        load_dataset(folder)
    assert f"fer-edge data crop {folder} -o {folder}-faces" in refused.value.hint
