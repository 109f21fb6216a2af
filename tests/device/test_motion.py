"""Optical flow: boxes go where the picture goes, and are given up where it went elsewhere."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fer_edge.device.motion import follow

BOX = (100.0, 60.0, 60.0, 60.0)


@pytest.fixture(scope="module")
def wall() -> np.ndarray:
    """A (240, 320) picture with something to hold on to everywhere."""
    noise = np.random.default_rng(0).normal(0, 1, (240, 320)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 4)
    return np.clip(128 + soft / soft.std() * 45, 0, 255).astype(np.uint8)


def _warped(picture: np.ndarray, scale: float, dx: float, dy: float) -> np.ndarray:
    """Grown by ``scale`` about the box's centre, then moved."""
    x, y = BOX[0] + 30, BOX[1] + 30
    matrix = np.array([[scale, 0, dx + x - scale * x], [0, scale, dy + y - scale * y]])
    return cv2.warpAffine(picture, matrix, (320, 240), borderMode=cv2.BORDER_REFLECT)


@pytest.mark.parametrize("shift", [(0, 0), (7, 0), (-5.5, 3.25), (4, -9)])
def test_a_box_moves_with_the_picture_to_a_fraction_of_a_pixel(wall, shift):
    (now,) = follow(wall, _warped(wall, 1.0, *shift), [BOX])
    expected = (BOX[0] + shift[0], BOX[1] + shift[1], 60, 60)
    np.testing.assert_allclose(now, expected, atol=0.3)


@pytest.mark.parametrize("scale", [0.95, 1.06])
def test_a_box_grows_and_shrinks_with_the_picture(wall, scale):
    (now,) = follow(wall, _warped(wall, scale, 2, 1), [BOX])
    side = 60 * scale
    expected = (132 - side / 2, 91 - side / 2, side, side)
    np.testing.assert_allclose(now, expected, atol=0.5)


def test_each_box_goes_its_own_way(wall):
    after = wall.copy()
    after[:, :160] = np.roll(wall, 4, axis=0)[:, :160]
    after[:, 160:] = np.roll(wall, -3, axis=0)[:, 160:]
    boxes = [(20.0, 80.0, 70.0, 90.0), (220.0, 80.0, 60.0, 60.0)]
    left, right = follow(wall, after, boxes)
    np.testing.assert_allclose(left, (20, 84, 70, 90), atol=0.3)
    np.testing.assert_allclose(right, (220, 77, 60, 60), atol=0.3)


def test_a_box_is_given_up_when_the_scene_is_another(wall):
    cut = np.ascontiguousarray(wall[::-1, ::-1])
    assert follow(wall, cut, [BOX]) == [None]


def test_a_box_that_leaves_the_frame_is_given_up(wall):
    gone = follow(wall, np.roll(wall, -12, axis=1), [(-28.0, 60.0, 50.0, 50.0)])
    assert gone == [None]


def test_fifty_boxes_are_followed_at_once(wall):
    boxes = [(10.0 + 28 * (n % 10), 10.0 + 40 * (n // 10), 26.0, 30.0) for n in range(50)]
    found = follow(wall, _warped(wall, 1.0, 2, 1), boxes)
    assert sum(now is not None for now in found) >= 45
    for box, now in zip(boxes, found, strict=True):
        if now is not None:
            np.testing.assert_allclose(now[:2], (box[0] + 2, box[1] + 1), atol=1)


def test_no_box_is_no_work(wall):
    assert follow(wall, wall, []) == []
