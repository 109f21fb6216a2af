"""Datasets that a network cannot learn from, or not all of what their labels promise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from data_samples import small_dataset

from fer_edge.data.dataset import Dataset
from fer_edge.data.division import Division, divide
from fer_edge.data.learnable import require_learnable, shortcomings
from fer_edge.errors import FerEdgeError

ALL = small_dataset(70)


def only(*labels: str, count: int = 10) -> Dataset:
    """A part of the faces, without splits."""
    chosen = [np.flatnonzero(ALL.targets == ALL.labels.index(label))[:count] for label in labels]
    part = ALL.subset(np.sort(np.concatenate(chosen)))
    return replace(part, splits=np.full(len(part), "all"))


def test_faces_of_one_label_are_not_trained_on() -> None:
    with pytest.raises(
        FerEdgeError, match="all 10 training faces of fer2013 are of the label 'sad'"
    ):
        require_learnable(only("sad"))
    assert "one label" in shortcomings(only("sad"))[0]


def test_labels_without_a_face_are_named(caplog: pytest.LogCaptureFixture) -> None:
    require_learnable(ALL)
    assert not caplog.text
    require_learnable(only("happy", "sad", "neutral"))
    assert "no face to train on of angry, disgust, fear, surprise" in caplog.text
    assert "angry, disgust, fear, surprise" in shortcomings(only("happy", "sad", "neutral"))[0]
    assert shortcomings(ALL) == ()


def test_faces_of_other_splits_do_not_make_up_for_a_label_that_training_lacks() -> None:
    splits = np.where(ALL.targets == 1, "PrivateTest", "Training")
    assert "of disgust" in shortcomings(replace(ALL, splits=splits))[0]


def test_too_few_faces_are_refused_with_how_many_are_needed() -> None:
    few = only("happy", "sad", count=1)
    with pytest.raises(FerEdgeError, match=r"0\.25: it has 1 face of 'happy'") as refused:
        divide(few, Division("by-image", 0.25, seed=1))
    assert "at least 4 of each label" in refused.value.hint
    assert "fewer than 4 faces of happy, sad" in shortcomings(few)[-1]


@pytest.mark.parametrize("how", ["by-image", "by-subject"])
def test_a_test_share_of_nothing_is_refused(how: str) -> None:
    with pytest.raises(FerEdgeError, match="no faces to test on"):
        divide(ALL, Division(how, 0.0, seed=1))  # type: ignore[arg-type]
