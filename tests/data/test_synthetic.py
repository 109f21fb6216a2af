from __future__ import annotations

import numpy as np
import pytest

from fer_edge.data import load_dataset
from fer_edge.data.dataset import Dataset
from fer_edge.data.drawing import draw_head
from fer_edge.data.person import PROTOTYPES, View, sample_identity
from fer_edge.data.synthetic import synthetic_faces
from fer_edge.errors import FerEdgeError
from fer_edge.labels import LABELS


@pytest.fixture(scope="module")
def built_in() -> Dataset:
    return load_dataset("synthetic")


def test_the_built_in_set_has_every_label_in_every_split(built_in: Dataset) -> None:
    dataset = built_in
    assert len(dataset) == 4000
    assert dataset.split_names == ("Training", "PublicTest", "PrivateTest")
    for split, count in (("Training", 3200), ("PublicTest", 400), ("PrivateTest", 400)):
        counts = np.bincount(dataset.select(split).targets, minlength=7)
        assert counts.sum() == count
        assert counts.max() - counts.min() <= 1
    assert (dataset.faces.std(axis=(1, 2)) > 8).all()


def test_the_same_seed_draws_the_same_faces_and_another_does_not() -> None:
    first = synthetic_faces(70, seed=3)
    assert synthetic_faces(70, seed=3).fingerprint() == first.fingerprint()
    assert synthetic_faces(70, seed=4).fingerprint() != first.fingerprint()


@pytest.mark.parametrize("faces", [0, 69, 10_000_000])
def test_a_senseless_count_is_refused(faces: int) -> None:
    with pytest.raises(FerEdgeError, match=f"cannot draw {faces} faces"):
        synthetic_faces(faces)


def test_the_expressions_can_be_told_apart_but_not_all_of_them(built_in: Dataset) -> None:
    """Ridge regression on pixels: far above chance (14%), far below a network's 90%."""
    dataset = built_in
    coarse = dataset.faces.reshape(-1, 24, 2, 24, 2).mean(axis=(2, 4), dtype=np.float32)
    pixels = coarse.reshape(len(dataset), -1)
    pixels -= pixels.mean(axis=1, keepdims=True)
    pixels /= pixels.std(axis=1, keepdims=True)
    training = dataset.splits == "Training"
    wanted = np.eye(len(LABELS), dtype=np.float32)[dataset.targets]
    gram = pixels[training].T @ pixels[training] + 1e3 * np.eye(576, dtype=np.float32)
    weights = np.linalg.solve(gram, pixels[training].T @ (wanted[training] - 1 / 7))
    right = (pixels[~training] @ weights).argmax(axis=1) == dataset.targets[~training]
    assert 0.4 < right.mean() < 0.9


def test_a_head_is_the_same_drawing_at_every_size() -> None:
    identity = sample_identity(np.random.default_rng(0))
    for label in LABELS:
        small, _ = draw_head(identity, PROTOTYPES[label], View(), 48)
        large, _ = draw_head(identity, PROTOTYPES[label], View(), 240)
        averaged = large.reshape(48, 5, 48, 5).mean(axis=(1, 3))
        assert np.corrcoef(averaged.ravel(), small.ravel())[0, 1] > 0.985


def test_a_head_fills_the_crop_and_a_wider_view_shows_its_surroundings() -> None:
    identity = sample_identity(np.random.default_rng(0))
    _, close = draw_head(identity, PROTOTYPES["neutral"], View(), 48)
    _, wide = draw_head(identity, PROTOTYPES["neutral"], View(), 48, extent=2.0)
    assert (close > 0).mean() > 0.7
    assert (wide > 0).mean() < 0.55


def test_each_expression_changes_the_drawing() -> None:
    identity = sample_identity(np.random.default_rng(0))
    drawn = [draw_head(identity, PROTOTYPES[label], View(), 48)[0].astype(int) for label in LABELS]
    for first in range(len(LABELS)):
        for second in range(first):
            assert np.abs(drawn[first] - drawn[second]).mean() > 1.5
