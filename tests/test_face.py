"""The crop rule: the one way from a face box to the model's input."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fer_edge.errors import FerEdgeError
from fer_edge.face import (
    BLAZEFACE,
    FACE_SIZE,
    HAAR,
    YUNET,
    CropRule,
    crop_face,
    crop_faces,
    rule_for,
)

pytest.importorskip("cv2")

PLAIN = CropRule("plain")
"""The box itself."""


@pytest.fixture(scope="module")
def frame() -> np.ndarray:
    """A gray plane whose value tells the column: 2 · x."""
    return np.tile((2 * np.arange(120)).astype(np.uint8), (100, 1))


def test_a_box_of_the_models_size_is_copied_pixel_for_pixel(frame):
    face = crop_face(frame, (30, 20, FACE_SIZE, FACE_SIZE), PLAIN)
    np.testing.assert_array_equal(face, frame[20 : 20 + FACE_SIZE, 30 : 30 + FACE_SIZE])
    assert face.dtype == np.uint8
    assert not np.shares_memory(face, frame)


def test_the_frame_is_left_as_it_was(frame):
    before = frame.copy()
    crop_face(frame, (-10, -10, 90, 90), PLAIN)
    np.testing.assert_array_equal(frame, before)


def test_shrinking_averages_every_pixel():
    stripes = np.zeros((96, 96), np.uint8)
    stripes[:, ::2] = 200
    assert set(np.unique(crop_face(stripes, (0, 0, 96, 96), PLAIN))) == {100}


def test_pixels_beyond_the_frame_repeat_its_border(frame):
    face = crop_face(frame, (-24, 0, FACE_SIZE, FACE_SIZE), PLAIN)
    assert np.all(face[:, :24] == frame[0, 0])
    np.testing.assert_array_equal(face[:, 24:], frame[:FACE_SIZE, :24])


def test_a_box_wholly_outside_the_frame_still_gives_a_face(frame):
    assert np.all(crop_face(frame, (500, 500, 60, 60), PLAIN) == frame[-1, -1])


def test_scale_widens_the_square_about_the_same_centre(frame):
    wide = crop_face(frame, (48, 38, 24, 24), CropRule("haar", scale=2.0))
    np.testing.assert_array_equal(wide, crop_face(frame, (36, 26, 48, 48), PLAIN))


def test_offsets_move_the_square_by_sides_of_the_box(frame):
    moved = crop_face(frame, (30, 20, 48, 48), CropRule("haar", offset_x=0.25, offset_y=0.125))
    np.testing.assert_array_equal(moved, crop_face(frame, (42, 26, 48, 48), PLAIN))


def test_a_tall_box_becomes_a_square_of_its_longer_side(frame):
    np.testing.assert_array_equal(
        crop_face(frame, (40, 20, 32, 48), PLAIN), crop_face(frame, (32, 20, 48, 48), PLAIN)
    )


def test_faces_of_a_frame_keep_the_order_of_their_boxes(frame):
    boxes = [(0, 0, 40, 40), (60, 30, 50, 50)]
    faces = crop_faces(frame, boxes, PLAIN)
    assert faces.shape == (2, FACE_SIZE, FACE_SIZE)
    for face, box in zip(faces, boxes, strict=True):
        np.testing.assert_array_equal(face, crop_face(frame, box, PLAIN))
    assert crop_faces(frame, [], PLAIN).shape == (0, FACE_SIZE, FACE_SIZE)


def test_a_rule_survives_the_manifest():
    rule = CropRule("yunet", scale=1.15, offset_x=0.01, offset_y=-0.05)
    assert CropRule.from_dict(json.loads(json.dumps(rule.to_dict()))) == rule
    assert CropRule.from_dict({"detector": "haar"}) == CropRule("haar")


def test_a_bundles_rule_is_taken_as_it_is_for_the_detector_that_it_names():
    own = CropRule("haar", scale=1.7)
    assert rule_for(HAAR, own) == own


@pytest.mark.parametrize("detector", [HAAR, YUNET, BLAZEFACE])
def test_fer2013s_framing_by_one_detector_is_fer2013s_framing_by_another(detector):
    assert rule_for(detector, HAAR) == detector


def test_a_rule_of_its_own_keeps_its_difference_from_fer2013_under_another_detector():
    wider = CropRule("haar", scale=1.3 * HAAR.scale, offset_y=HAAR.offset_y + 0.1)
    found = rule_for(YUNET, wider)
    assert found.detector == "yunet"
    assert found.scale == pytest.approx(1.3 * YUNET.scale)
    # a tenth of the Haar box's side, in sides of YuNet's box
    moved = (found.offset_y - YUNET.offset_y) / YUNET.scale
    assert moved == pytest.approx(0.1 / HAAR.scale)


def test_a_rule_for_an_unknown_detector_serves_that_detector_only():
    strange = CropRule("dlib", scale=1.2)
    with pytest.raises(FerEdgeError, match="'dlib'"):
        rule_for(HAAR, strange)


@pytest.mark.parametrize(
    ("stored", "named"),
    [
        ({}, "detector"),
        ({"detector": "haar", "zoom": 1}, "zoom"),
        ({"detector": "haar", "scale": "wide"}, "'wide'"),
        ({"detector": "haar", "scale": True}, "True"),
        ({"detector": "haar", "scale": float("nan")}, "nan"),
        ({"detector": "haar", "scale": 0}, "0"),
        ({"detector": "haar", "scale": 99}, "99"),
        ({"detector": "haar", "offset_y": -3}, "-3"),
    ],
)
def test_a_broken_rule_is_refused_by_name(stored, named):
    with pytest.raises(FerEdgeError, match=named):
        CropRule.from_dict(stored)
