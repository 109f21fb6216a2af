"""Haar detection: drawn faces are found, boxes are in the frame's pixels, shortcuts are honest."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.device.detectors import HaarDetector
from fer_edge.device.sources import open_source
from fer_edge.errors import FerEdgeError
from fer_edge.face import Box


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


def test_both_people_are_found_in_nearly_every_frame_and_nobody_else(clip, grays):
    detector = HaarDetector()
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


def test_a_face_that_left_is_not_reported_from_memory(grays):
    detector = HaarDetector()
    assert detector.detect(grays[0])
    assert detector.detect(np.full_like(grays[0], 120)) == []


def test_a_known_face_that_jumps_elsewhere_is_found_in_the_same_frame(grays):
    detector = HaarDetector()
    half = grays[0].copy()
    half[:, 160:] = 120
    before = detector.detect(half)
    after = detector.detect(np.ascontiguousarray(half[:, ::-1]))
    assert len(before) == len(after) == 1
    assert abs(before[0][0] - after[0][0]) > 40


def test_a_newcomer_is_seen_at_the_latest_at_the_next_full_search(grays):
    detector = HaarDetector(full_every=4)
    half = grays[0].copy()
    half[:, 160:] = 120
    detector.detect(half)
    counts = [len(detector.detect(grays[0])) for _ in range(4)]
    assert counts[0] == 1
    assert counts[-1] == 2


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


def test_real_clips_have_a_face_in_at_least_85_percent_of_their_frames(real_data):
    for name, length in (("woman2.mp4", 464), ("test.mp4", 115)):
        detector = HaarDetector()
        grays = _grays(real_data / "clips" / name)
        assert len(grays) == length
        assert sum(bool(detector.detect(gray)) for gray in grays) >= 0.85 * length
