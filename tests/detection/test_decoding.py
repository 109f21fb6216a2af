"""From a detector's numbers to faces."""

from __future__ import annotations

import numpy as np
import pytest

from fer_edge.detection import (
    PARTS,
    SIZES,
    STRIDES,
    Detections,
    decode,
    grid,
    logit,
    padded,
    suppress,
)


def _faces(boxes: list[list[float]], scores: list[float]) -> Detections:
    return Detections(
        np.float32(boxes), np.float32(scores), np.zeros((len(boxes), 5, 2), np.float32)
    )


@pytest.mark.parametrize("size", SIZES)
def test_every_stride_has_the_cells_of_sides_that_all_strides_divide(size: tuple[int, int]) -> None:
    columns, rows = padded(size)
    assert columns % STRIDES[-1] == rows % STRIDES[-1] == 0
    cells = grid(size)
    for stride in STRIDES:
        own = cells[cells[:, 2] == stride]
        assert len(own) == (columns // stride) * (rows // stride)
        np.testing.assert_array_equal(own[0, :2], [stride / 2, stride / 2])
        np.testing.assert_array_equal(own[-1, :2], [columns - stride / 2, rows - stride / 2])


def test_a_cell_tells_a_box_and_landmarks_in_its_own_strides() -> None:
    cells = np.float32([[100, 60, 8], [112, 48, 32]])
    boxes = np.float32([[0.5, -1, np.log(4), np.log(5)], [0, 0, 0, 0]])
    landmarks = np.tile(np.float32([1, 2]), (2, 5))
    found = decode(cells, np.float32([0, 2]), boxes, landmarks)
    np.testing.assert_allclose(found.boxes, [[96, 32, 32, 32], [88, 32, 32, 40]], atol=1e-4)
    np.testing.assert_allclose(found.scores, [1 / (1 + np.exp(-2)), 0.5], atol=1e-6)
    np.testing.assert_allclose(found.landmarks[1], np.tile([108, 76], (5, 1)), atol=1e-4)
    assert found.landmarks.shape == (2, 5, 2)


def test_wild_numbers_give_finite_boxes() -> None:
    wild = np.full((1, 4), 1e4, np.float32)
    found = decode(grid((160, 120))[:1], np.float32([1e9]), wild, np.zeros((1, 10), np.float32))
    assert np.isfinite(found.boxes).all()
    assert found.scores[0] == 1


def test_of_two_boxes_on_one_face_the_surer_one_is_kept() -> None:
    found = _faces([[10, 10, 40, 40], [12, 10, 40, 40], [100, 10, 40, 40]], [0.9, 0.8, 0.3])
    kept = suppress(found)
    np.testing.assert_allclose(kept.scores, [0.9, 0.3])
    np.testing.assert_array_equal(kept.boxes, found.boxes[[0, 2]])


def test_nothing_and_one_face_pass_suppression_as_they_are() -> None:
    for count in (0, 1):
        found = _faces([[1.0, 2, 3, 4]] * count, [0.5] * count)
        found = Detections(found.boxes.reshape(-1, 4), found.scores, found.landmarks)
        assert len(suppress(found)) == count


def test_a_scaled_face_has_its_box_and_landmarks_scaled() -> None:
    found = Detections(
        np.float32([[2, 4, 6, 8]]), np.float32([0.5]), np.ones((1, 5, 2), np.float32)
    ).scaled(2)
    np.testing.assert_array_equal(found.boxes, [[4, 8, 12, 16]])
    assert (found.landmarks == 2).all()


def test_the_logit_is_what_the_sigmoid_undoes() -> None:
    assert 1 / (1 + np.exp(-logit(0.3))) == pytest.approx(0.3)
    assert sum(PARTS.values()) == 15
