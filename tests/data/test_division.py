"""Dividing and oversampling, in the honest order and in the leaky one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from data_samples import small_dataset

from fer_edge.data import leaked
from fer_edge.data.dataset import Dataset
from fer_edge.data.division import Division, describe_division, divide
from fer_edge.data.sampling import oversample
from fer_edge.errors import FerEdgeError


@pytest.fixture
def uneven() -> Dataset:
    """20 subjects with 3 to 15 faces of each class, all faces different."""
    dataset = small_dataset(600)
    rng = np.random.default_rng(3)
    targets = rng.choice(7, size=600, p=[0.05, 0.05, 0.1, 0.2, 0.2, 0.2, 0.2]).astype(np.uint8)
    return replace(
        dataset,
        targets=targets,
        splits=np.full(600, "all"),
        subjects=np.array([f"S{number % 20:03}" for number in range(600)]),
    )


def shares(dataset: Dataset, split: str) -> np.ndarray:
    return np.bincount(dataset.select(split).targets, minlength=7) / len(dataset.select(split))


def test_by_image_every_class_is_divided_in_proportion(uneven: Dataset) -> None:
    divided = divide(uneven, Division("by-image", 1 / 3, seed=1))
    assert len(divided.select("Test")) == 200
    np.testing.assert_allclose(shares(divided, "Test"), shares(divided, "Training"), atol=0.01)
    np.testing.assert_array_equal(divided.faces, uneven.faces)


def test_by_subject_nobody_stands_on_both_sides(uneven: Dataset) -> None:
    divided = divide(uneven, Division("by-subject", 1 / 3, seed=1))
    test, training = divided.select("Test"), divided.select("Training")
    assert test.subjects is not None
    assert training.subjects is not None
    assert not set(test.subjects) & set(training.subjects)
    assert 0.25 < len(test) / len(divided) < 0.42
    np.testing.assert_allclose(shares(divided, "Test"), shares(divided, "Training"), atol=0.1)


def test_seeds_zero_to_two_test_every_subject_once(uneven: Dataset) -> None:
    tested = [divide(uneven, Division("by-subject", 1 / 3, seed)).splits for seed in range(3)]
    assert (np.sum([splits == "Test" for splits in tested], axis=0) == 1).all()


@pytest.mark.parametrize("how", ["by-image", "by-subject"])
def test_the_seed_alone_determines_a_division(uneven: Dataset, how: str) -> None:
    first = divide(uneven, Division(how, 0.25, seed=1))  # type: ignore[arg-type]
    again = divide(uneven, Division(how, 0.25, seed=1))  # type: ignore[arg-type]
    other = divide(uneven, Division(how, 0.25, seed=2))  # type: ignore[arg-type]
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()


def test_oversampling_makes_all_classes_as_large_as_the_largest(uneven: Dataset) -> None:
    before = np.bincount(uneven.targets)
    after = oversample(uneven, seed=1)
    assert np.bincount(after.targets).tolist() == [before.max()] * 7
    np.testing.assert_array_equal(after.faces[: len(uneven)], uneven.faces)
    originals = {face.tobytes() for face in uneven.faces}
    assert {face.tobytes() for face in after.faces} == originals


def test_oversampling_before_dividing_puts_test_images_into_training(uneven: Dataset) -> None:
    leaky = divide(uneven, Division("by-image", 0.2, seed=1, leaky=True))
    honest = divide(uneven, Division("by-image", 0.2, seed=1))
    twins = leaked(leaky, ["Training"], ["Test"]).sum() / len(leaky.select("Test"))
    assert twins > 0.2
    assert not leaked(honest, ["Training"], ["Test"]).any()


def test_a_dataset_without_subjects_is_not_divided_by_subject(uneven: Dataset) -> None:
    with pytest.raises(FerEdgeError, match="does not say who is in its pictures"):
        divide(replace(uneven, subjects=None), Division("by-subject", 0.2, seed=1))


def test_a_class_of_one_face_cannot_be_divided_by_image(uneven: Dataset) -> None:
    lonely = uneven.subset(np.flatnonzero(uneven.targets != 2)[:50])
    one = replace(lonely, targets=np.concatenate([[2], lonely.targets[1:]]).astype(np.uint8))
    with pytest.raises(FerEdgeError, match="cannot divide fer2013 by image") as caught:
        divide(one, Division("by-image", 0.2, seed=1))
    assert "test_share" in caught.value.hint


@pytest.mark.parametrize(
    ("division", "words"),
    [
        (Division("by-image", 0.2, 1), "divided by image: the same people may stand"),
        (Division("by-subject", 0.2, 1), "divided by subject: nobody stands"),
        (Division("by-image", 0.2, 1, leaky=True), "LEAKY: oversampled before dividing"),
    ],
)
def test_a_division_says_what_it_does_to_the_figures(division: Division, words: str) -> None:
    assert describe_division({"name": "x", "division": division.to_dict()}).startswith(words)


def test_a_dataset_with_its_own_splits_has_no_division_to_speak_of() -> None:
    assert describe_division({"name": "fer2013"}) == ""
    assert describe_division({"name": "fer2013", "division": None}) == ""
