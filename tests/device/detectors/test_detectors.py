"""Haar, YuNet, our own: drawn faces are found, boxes are in the frame, shortcuts are honest."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge import shipped
from fer_edge.data.detection.photos import load_photos
from fer_edge.device.detectors import HaarDetector, open_detector
from fer_edge.device.detectors.base import overlap, shrink
from fer_edge.device.model_store import YUNET_FILE, stored
from fer_edge.device.sources import open_source
from fer_edge.errors import FerEdgeError
from fer_edge.face import HAAR, YUNET, Box, CropRule


def _grays(path: Path) -> list[np.ndarray]:
    with open_source(video=path) as source:
        return [frame.gray for frame in source.frames()]


@pytest.fixture(scope="module")
def grays(clip) -> list[np.ndarray]:
    return _grays(clip.path)


def _covers(box: Box, true: Box) -> bool:
    """Whether the boxes' intersection is at least half of their union."""
    width = min(box[0] + box[2], true[0] + true[2]) - max(box[0], true[0])
    height = min(box[1] + box[3], true[1] + true[3]) - max(box[1], true[1])
    common = max(0, width) * max(0, height)
    return common >= 0.5 * (box[2] * box[3] + true[2] * true[3] - common)


def _hits(boxes: list[Box], faces) -> int:
    return sum(any(_covers(box, face.box) for box in boxes) for face in faces)


@pytest.mark.parametrize("name", ["haar", "own"])
def test_both_people_are_found_in_nearly_every_frame_and_nobody_else(name, clip, grays):
    detector = open_detector(name)
    found = [detector.detect(gray) for gray in grays]
    hits = sum(_hits(boxes, faces) for boxes, faces in zip(found, clip.faces, strict=True))
    assert hits >= 0.95 * 2 * len(grays)
    assert sum(len(boxes) for boxes in found) == hits


def test_boxes_are_in_the_pixels_of_a_frame_wider_than_the_search(clip, grays):
    wide = cv2.resize(grays[0], (960, 540), interpolation=cv2.INTER_CUBIC)
    boxes = HaarDetector().detect(wide)
    assert len(boxes) == 2
    for face in clip.faces[0]:
        true = tuple(3 * value for value in face.box)
        assert any(_covers(box, true) for box in boxes)


def test_the_largest_face_comes_first(grays):
    two = np.full((200, 400), 120, np.uint8)
    two[:90, :160] = cv2.resize(grays[0][:, 160:], (160, 90), interpolation=cv2.INTER_AREA)
    two[20:200, 200:360] = grays[0][:, 160:]
    boxes = HaarDetector(max_width=400).detect(two)
    areas = [width * height for *_, width, height in boxes]
    assert len(areas) == 2
    assert areas == sorted(areas, reverse=True)


def test_a_frame_without_a_face_gives_no_box():
    noise = np.random.default_rng(0).integers(0, 256, (240, 320)).astype(np.uint8)
    assert HaarDetector().detect(noise) == []


def test_told_where_faces_were_it_finds_them_again_and_looks_nowhere_else(clip, grays):
    detector = HaarDetector()
    whole = detector.detect(grays[0])
    assert len(whole) == 2
    for box in whole:
        (near,) = detector.detect(grays[1], [box])
        assert _covers(near, box)


def test_a_known_face_that_is_not_there_any_more_has_the_whole_frame_searched(grays):
    detector = HaarDetector()
    half = grays[0].copy()
    half[:, 160:] = 120
    (before,) = detector.detect(half)
    (after,) = detector.detect(np.ascontiguousarray(half[:, ::-1]), [before])
    assert abs(before[0] - after[0]) > 40
    assert detector.detect(np.full_like(half, 120), [before]) == []


def test_a_place_outside_the_frame_is_no_reason_to_fail(grays):
    assert len(HaarDetector().detect(grays[0], [(5000, -3000, 40, 40)])) == 2


def test_a_frame_is_reduced_by_a_whole_number_where_that_leaves_enough():
    wide = np.arange(596 * 336, dtype=np.uint32).reshape(336, 596).astype(np.uint8)
    small, scale = shrink(wide, 320)
    assert (small.shape, scale) == ((168, 298), 0.5)
    small, scale = shrink(wide[:, :330], 320)
    assert small.shape[1] == 320
    assert scale == 320 / 330
    assert shrink(wide[:, :320], 320)[0].base is wide


def test_yunet_finds_both_drawn_people_in_every_frame(real_data, clip, grays):
    yunet = open_detector(str(real_data / "models" / "face_detection_yunet_n.onnx"))
    found = [yunet.detect(gray) for gray in grays]
    hits = sum(_hits(boxes, faces) for boxes, faces in zip(found, clip.faces, strict=True))
    assert hits == 2 * len(grays) == sum(len(boxes) for boxes in found)
    # another size than before, and no face
    assert yunet.detect(np.full((111, 77), 90, np.uint8)) == []


def test_a_file_that_is_no_yunet_is_refused(tmp_path, capfd):
    path = tmp_path / "other.onnx"
    path.write_bytes(b"\x08" + bytes(range(200)))
    with pytest.raises(FerEdgeError, match="not a YuNet") as caught:
        open_detector(str(path))
    assert "doctor --get yunet" in caught.value.hint
    assert capfd.readouterr().err == ""


def test_the_default_is_our_own_where_it_ships_else_yunet_where_it_was_got_else_haar(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("fer_edge.device.folders.MACHINE", tmp_path / "fer-edge")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert open_detector().name == "own"
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    assert open_detector().name == "haar"
    with pytest.raises(FerEdgeError, match="none came with the package"):
        open_detector("own")
    with pytest.raises(FerEdgeError) as caught:
        open_detector("yunet")
    assert "doctor --get yunet" in caught.value.hint
    stored(YUNET_FILE).parent.mkdir(parents=True)
    stored(YUNET_FILE).write_bytes(b"broken")
    with pytest.raises(FerEdgeError, match="not a YuNet"):
        open_detector()


def test_where_the_service_looks_for_yunet_root_is_to_get_it(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 61184)
    monkeypatch.setenv("XDG_DATA_HOME", "/var/lib")  # the unit's
    if stored(YUNET_FILE).exists():
        pytest.skip("this machine has it")
    with pytest.raises(FerEdgeError) as caught:
        open_detector("yunet")
    assert caught.value.hint == "get one: sudo fer-edge doctor --get yunet"


def test_our_own_finds_people_in_photos_that_it_was_not_trained_on(real_data):
    photos = load_photos(real_data / "face-photos.zip").select(["PrivateTest"])
    detector = open_detector("own")
    found = 0
    for picture, faces in zip(photos.pictures, photos.faces, strict=True):
        largest = faces.boxes[(faces.boxes[:, 2:].prod(axis=1) * faces.certain).argmax()]
        found += any(overlap(box, largest) > 0.5 for box in detector.detect(picture))
    assert found / len(photos) >= 0.98


@pytest.mark.parametrize("name", ["woman2.mp4", "test.mp4"])
def test_our_own_finds_somebody_in_nearly_every_frame_of_real_clips(real_data, name):
    detector = open_detector("own")
    found = [bool(detector.detect(gray)) for gray in _grays(real_data / "clips" / name)]
    assert np.mean(found) >= 0.99


def test_two_detectors_with_their_rules_show_the_same_square_of_a_real_face(real_data):
    haar = open_detector("haar", min_face=0.3)
    yunet = open_detector(str(real_data / "models" / "face_detection_yunet_n.onnx"), min_face=0.3)
    by_rule, by_box = [], []
    with zipfile.ZipFile(real_data / "face-photos.zip") as photos:
        names = [name for name in photos.namelist() if name.endswith(".jpg")]
        for name in names[:: len(names) // 40]:
            gray = cv2.imdecode(np.frombuffer(photos.read(name), np.uint8), cv2.IMREAD_GRAYSCALE)
            one, other = haar.detect(gray), yunet.detect(gray)
            if len(one) == len(other) == 1:
                by_box.append(overlap(one[0], other[0]))
                squares = (_square(one[0], HAAR), _square(other[0], YUNET))
                by_rule.append(overlap(*squares))
    assert len(by_rule) >= 20
    assert np.median(by_rule) > 0.75
    assert np.median(by_rule) > np.median(by_box) + 0.05


def _square(box: Box, rule: CropRule) -> tuple[float, ...]:
    x, y, width, height = box
    longer = max(width, height)
    side = rule.scale * longer
    left = x + width / 2 + rule.offset_x * longer - side / 2
    return left, y + height / 2 + rule.offset_y * longer - side / 2, side, side


@pytest.mark.parametrize("choice", ["dlib", "faces.pt", ""])
def test_an_unknown_detector_is_refused_with_what_there_is(choice):
    with pytest.raises(FerEdgeError, match="no face detector") as caught:
        open_detector(choice)
    assert "haar, yunet" in caught.value.hint


@pytest.mark.parametrize("fraction", [0, -1, 1.5, float("nan")])
def test_an_impossible_smallest_face_is_refused(fraction):
    with pytest.raises(FerEdgeError, match="fraction of the frame"):
        HaarDetector(min_face=fraction)


def test_a_file_that_is_no_cascade_is_refused(tmp_path, capfd):
    path = tmp_path / "cascade.xml"
    path.write_text("<nothing/>")
    for wrong in (path, tmp_path / "gone.xml"):
        with pytest.raises(FerEdgeError, match="not a Haar cascade"):
            HaarDetector(cascade=wrong)
    assert capfd.readouterr().err == ""


def test_real_clips_have_a_face_in_at_least_95_percent_of_their_frames(real_data):
    for name, length in (("woman2.mp4", 464), ("test.mp4", 115)):
        detector = HaarDetector()
        grays = _grays(real_data / "clips" / name)
        assert len(grays) == length
        found = [bool(detector.detect(gray)) for gray in grays[:: length // 40]]
        assert sum(found) >= 0.95 * len(found)
