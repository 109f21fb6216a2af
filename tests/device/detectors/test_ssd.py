"""SSD detectors in the model runtime: boxes come out where bright squares went in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ssd_samples import blazeface_like_detector, post_processing_detector

from fer_edge.device.detectors import SsdDetector, open_detector
from fer_edge.device.detectors.ssd import anchor_centres, decode_blazeface
from fer_edge.errors import FerEdgeError
from fer_edge.face import BLAZEFACE, YUNET


@pytest.fixture(scope="module")
def post_processing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ssd") / "post.tflite"
    path.write_bytes(post_processing_detector())
    return path


@pytest.fixture(scope="module")
def blazeface(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ssd") / "blaze.tflite"
    path.write_bytes(blazeface_like_detector())
    return path


def test_a_network_that_ends_in_tflites_operator_gives_boxes_in_pixels_of_the_frame(
    post_processing,
):
    # a frame of twice the input's width, wider than it is high: fitted, not stretched
    frame = np.zeros((160, 256), np.uint8)
    frame[32:64, 64:96] = 255
    frame[96:128, 192:224] = 220
    detector = open_detector(str(post_processing), min_face=0.1)
    assert sorted(detector.detect(frame)) == [(64, 32, 32, 32), (192, 96, 32, 32)]
    assert detector.crop_rule == YUNET


def test_what_lies_behind_the_last_detection_is_not_read(post_processing):
    detector = SsdDetector(post_processing)
    frame = np.full((128, 128), 255, np.uint8)
    detector.detect(frame)
    frame[:] = 0
    for _ in range(3):
        assert detector.detect(frame) == []


def test_blazefaces_outputs_become_a_box_about_the_brightest_cell(blazeface):
    frame = np.zeros((256, 256), np.uint8)
    frame[96:128, 160:192] = 255
    detector = SsdDetector(blazeface, min_face=0.1)
    ((x, y, width, height),) = detector.detect(frame)
    assert (width, height) == (64, 40)
    # the cell's centre, moved by 2 right and 1 up in the input, which is half the frame
    assert (x + width / 2, y + height / 2) == pytest.approx((176 + 4, 112 - 2), abs=1)
    assert detector.crop_rule == BLAZEFACE


def test_boxes_that_share_a_third_of_their_area_are_one_face(blazeface):
    beside, below = np.zeros((2, 128, 128), np.uint8)
    beside[32:48, 32:64] = 255  # two cells whose boxes share a third
    below[32:64, 32:48] = 255  # two whose boxes share a ninth
    detector = SsdDetector(blazeface)
    assert len(detector.detect(beside)) == 1
    assert len(detector.detect(below)) == 2


def test_faces_smaller_than_asked_for_are_left_out(blazeface):
    frame = np.zeros((128, 128), np.uint8)
    frame[32:48, 32:48] = 255
    assert len(SsdDetector(blazeface, min_face=0.24).detect(frame)) == 1
    assert SsdDetector(blazeface, min_face=0.26).detect(frame) == []


@pytest.mark.parametrize(("count", "cells"), [(896, 16), (2304, 48)])
def test_anchors_cover_the_input_row_by_row(count, cells):
    centres = anchor_centres(count)
    assert centres.shape == (count, 2)
    step = 1 / cells
    np.testing.assert_allclose(centres[0], [step / 2, step / 2], atol=1e-6)
    each = 2 if count == 896 else 1
    np.testing.assert_allclose(centres[each], [1.5 * step, step / 2], atol=1e-6)
    np.testing.assert_allclose(centres[each * cells], [step / 2, 1.5 * step], atol=1e-6)
    np.testing.assert_allclose(centres.mean(axis=0), [0.5, 0.5], atol=1e-6)


def test_a_regressor_is_an_offset_and_a_size_in_pixels_of_the_input():
    regressors = np.zeros((1, 16), np.float32)
    regressors[0, :4] = 6.4, -12.8, 32, 64
    centres = np.array([[0.5, 0.5]], np.float32)
    corners, scores = decode_blazeface(regressors, np.zeros(1, np.float32), centres, 128)
    np.testing.assert_allclose(corners, [[0.425, 0.15, 0.675, 0.65]], atol=1e-6)
    assert scores[0] == 0.5


def test_a_logit_beyond_every_float_is_a_certainty_not_an_overflow():
    logits = np.array([-1e9, 1e9], np.float32)
    with np.errstate(all="raise"):
        _, scores = decode_blazeface(
            np.zeros((2, 16), np.float32), logits, np.zeros((2, 2), np.float32), 128
        )
    np.testing.assert_allclose(scores, [0, 1], atol=1e-6)


def test_a_file_over_which_the_interpreter_ends_the_process_is_an_error_like_any_other(
    blazeface, tmp_path
):
    whole = blazeface.read_bytes()
    path = tmp_path / "flipped.tflite"
    rng, told = np.random.default_rng(0), []
    frame = np.full((90, 160), 140, np.uint8)
    for _ in range(25):
        spoiled = bytearray(whole)
        for place in rng.integers(0, len(whole), 6):
            spoiled[place] ^= int(rng.integers(1, 256))
        path.write_bytes(spoiled)
        try:
            SsdDetector(path).detect(frame)
        except FerEdgeError as error:
            told.append(error.message)
    assert len(told) > 5
    assert all(str(path) in message for message in told)


def test_boxes_that_cannot_be_faces_are_left_out(blazeface):
    detector = SsdDetector(blazeface)
    corners = np.array([[0, 0, 0.5, 0.5], [0.2, 0.2, 0.1, 0.1], [-40, -40, 40, 40]], np.float32)
    corners = np.concatenate([corners, np.full((1, 4), np.nan, np.float32)])
    detector._read = lambda: (corners, np.ones(4, np.float32))
    assert detector.detect(np.zeros((128, 128), np.uint8)) == [(0, 0, 64, 64)]


def test_a_classifier_is_no_face_detector(maker, tmp_path):
    path = tmp_path / "classifier.tflite"
    path.write_bytes(maker.content)
    with pytest.raises(FerEdgeError, match="is not a face detector"):
        SsdDetector(path)


def test_a_damaged_file_is_refused(tmp_path, capfd):
    path = tmp_path / "noise.tflite"
    path.write_bytes(bytes(range(256)) * 20)
    with pytest.raises(FerEdgeError, match=r"noise\.tflite cannot be run"):
        SsdDetector(path)
    with pytest.raises(FerEdgeError, match="no face detector"):
        SsdDetector(tmp_path / "gone.tflite")
    assert capfd.readouterr().err == ""
