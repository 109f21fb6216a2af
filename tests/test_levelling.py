"""A tilted face is turned level before it is cut out."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fer_edge.face import FACE_SIZE, LEVEL_FROM, YUNET, CropRule, crop_face, crop_faces

PLAIN = CropRule("haar")


def _scene(tilt: float, side: int) -> np.ndarray:
    """A drawn pattern of a face's size about (160, 120), turned clockwise."""
    pattern = np.kron(np.random.default_rng(4).integers(0, 256, (6, 6)), np.ones((20, 20)))
    soft = cv2.GaussianBlur(pattern.astype(np.float32), (0, 0), 6)
    turn = cv2.getRotationMatrix2D((59.5, 59.5), -tilt, side / 120)
    turn[:, 2] += [160 - 0.5 - 59.5, 120 - 0.5 - 59.5]
    scene = cv2.warpAffine(soft, turn, (320, 240), borderMode=cv2.BORDER_REPLICATE)
    return scene.astype(np.uint8)


@pytest.mark.parametrize("side", [40, 96, 140])
@pytest.mark.parametrize("tilt", [-30.0, -12.0, 15.0, 40.0])
@pytest.mark.parametrize("rule", [PLAIN, CropRule("haar", 0.9, 0.1, -0.05)])
def test_a_levelled_face_is_the_upright_face(side: int, tilt: float, rule: CropRule) -> None:
    box = (160 - side // 2, 120 - side // 2, side, side)
    upright = crop_face(_scene(0, side), box, rule).astype(float)
    levelled = crop_face(_scene(tilt, side), box, rule, tilt).astype(float)
    as_it_is = crop_face(_scene(tilt, side), box, rule).astype(float)
    assert np.abs(levelled - upright).mean() < 4
    assert np.abs(levelled - upright).mean() < np.abs(as_it_is - upright).mean() / 3


def test_a_face_that_is_hardly_tilted_is_cut_as_it_is() -> None:
    scene, box = _scene(5, 96), (112, 72, 96, 96)
    for tilt in (0.0, LEVEL_FROM - 0.1, 0.1 - LEVEL_FROM):
        np.testing.assert_array_equal(
            crop_face(scene, box, YUNET, tilt), crop_face(scene, box, YUNET)
        )


def test_a_tilted_face_at_the_border_repeats_the_border() -> None:
    scene = _scene(20, 96)
    faces = crop_faces(scene, [(-40, -30, 80, 90), (280, 200, 90, 90)], YUNET, [25.0, -170.0])
    assert faces.shape == (2, FACE_SIZE, FACE_SIZE)
