"""The quantizer sees training images only, as many of each class, and all values but the rarest."""

from __future__ import annotations

import numpy as np
import pytest

from fer_edge.data.dataset import Dataset
from fer_edge.errors import FerEdgeError
from fer_edge.export.remedies.calibration import Ranges, calibration_images


def _numbered(counts: list[int], held_out: int = 50) -> Dataset:
    """Faces that hold their own number in two pixels; the class is the third."""
    targets = np.repeat(np.arange(len(counts)), counts).tolist() + [0] * held_out
    faces = np.zeros((len(targets), 48, 48), np.uint8)
    faces[:, 0, 0], faces[:, 0, 1] = np.divmod(np.arange(len(targets)), 256)
    faces[:, 0, 2] = targets
    splits = np.array(["Training"] * sum(counts) + ["PrivateTest"] * held_out)
    labels = tuple("abcdefg"[: len(counts)])
    return Dataset("numbered", labels, faces, np.array(targets, np.uint8), splits)


def _numbers(images: np.ndarray) -> np.ndarray:
    return images[:, 0, 0, 0].astype(int) * 256 + images[:, 0, 1, 0]


def test_calibration_images_are_distinct_training_images_of_every_class_alike() -> None:
    dataset = _numbered([200, 40, 90])
    images = calibration_images(dataset, ["Training"], 60)
    assert images.shape == (60, 48, 48, 1)
    assert images.dtype == np.uint8
    numbers = _numbers(images)
    assert len(set(numbers)) == 60
    assert numbers.max() < 330, "images of the test split"
    assert np.bincount(images[:, 0, 2, 0]).tolist() == [20, 20, 20]


def test_a_class_with_few_images_gives_all_it_has() -> None:
    images = calibration_images(_numbered([100, 3, 40]), ["Training"], 30)
    assert np.bincount(images[:, 0, 2, 0]).tolist() == [10, 3, 10]


def test_labels_without_a_picture_leave_their_share_to_the_others() -> None:
    images = calibration_images(_numbered([0, 0, 300, 300, 0, 300, 0]), ["Training"], 350)
    assert np.bincount(images[:, 0, 2, 0]).tolist() == [0, 0, 116, 116, 0, 116]


def test_the_choice_is_random_but_the_same_every_time() -> None:
    dataset = _numbered([300, 300])
    first, again = (calibration_images(dataset, ["Training"], 40) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, calibration_images(dataset, ["Training"], 40, seed=1))
    numbers = _numbers(first)
    assert (numbers[first[:, 0, 2, 0] == 0] > 100).any(), "the first images of a class only"
    assert set(first[:10, 0, 2, 0]) == {0, 1}, "a part of it must be balanced as well"


def test_several_splits_may_train() -> None:
    images = calibration_images(_numbered([5, 5]), ["Training", "PrivateTest"], 40)
    assert _numbers(images).max() >= 10


def test_fewer_images_than_classes_are_refused() -> None:
    with pytest.raises(FerEdgeError, match="2 calibration images do not cover 3 classes") as caught:
        calibration_images(_numbered([9, 9, 9]), ["Training"], 2)
    assert "at least 100" in caught.value.hint


def test_a_range_leaves_out_the_same_share_of_values_at_either_end_whatever_their_order() -> None:
    values = np.random.default_rng(0).permutation(np.arange(-400, 600)).astype(np.float32)
    ranges = Ranges(samples=10, coverage=0.98)
    for part in values.reshape(10, 4, 25):
        ranges.add("x", part)
    # 20 of 1,000 values lie beyond each end
    assert ranges["x"] == (-380, 579)
    assert list(ranges) == ["x"]


def test_a_range_of_few_values_or_of_full_coverage_is_from_the_smallest_to_the_largest() -> None:
    rng = np.random.default_rng(1)
    small, large = rng.normal(size=(20, 50)), rng.normal(size=(20, 20_000))
    ranges, full = Ranges(20), Ranges(20, coverage=1)
    for few, many in zip(small, large, strict=True):
        ranges.add("few", few)
        full.add("many", many)
        ranges.add("many", many)
    assert ranges["few"] == (small.min(), small.max())
    assert full["many"] == (large.min(), large.max())
    assert ranges["many"][1] < large.max()


def test_a_range_holds_zero() -> None:
    ranges = Ranges(1, coverage=1)
    ranges.add("above", np.array([3.0, 5.0]))
    ranges.add("below", np.array([-3.0, -5.0]))
    assert (ranges["above"], ranges["below"]) == ((0, 5), (-5, 0))
