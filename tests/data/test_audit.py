from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from data_samples import small_dataset

from fer_edge.data import drop_leaks, leaked
from fer_edge.data.audit import Overlap, audit
from fer_edge.data.dataset import Dataset
from fer_edge.data.near import near_pairs
from fer_edge.data.synthetic import synthetic_faces
from fer_edge.errors import FerEdgeError


@pytest.fixture
def leaky() -> Dataset:
    """Splits in turn (Training at 0, 3, 6, …), labels in turn; some pictures copied."""
    dataset = small_dataset(30)
    faces = dataset.faces.copy()
    faces[3] = faces[0]  # inside Training, labels 0 and 3: a conflict
    faces[8] = faces[6]  # Training → PrivateTest, labels 6 and 1: a conflict
    faces[13] = faces[6]  # → PublicTest
    faces[21] = faces[14]  # PrivateTest → Training, both label 0
    faces[22] = 77
    return replace(dataset, faces=faces)


def test_audit_counts_groups_conflicts_and_overlaps(leaky: Dataset) -> None:
    report = audit(leaky, near=False)
    assert (report.faces, report.duplicate_groups, report.duplicate_faces) == (30, 3, 7)
    assert report.conflicting_groups == 2
    assert report.groups_across_splits == 2
    assert report.overlaps == (
        Overlap("Training", "PublicTest", 1, 1, 1),
        Overlap("Training", "PrivateTest", 2, 2, 2),
        Overlap("PublicTest", "PrivateTest", 1, 1, 1),
    )
    assert report.constant_faces == 1
    assert report.near_pairs is None


def test_a_clean_dataset_has_no_findings() -> None:
    report = audit(small_dataset(30))
    assert report.duplicate_groups == report.near_pairs == report.mirrored_pairs == 0
    assert all(overlap.groups == 0 for overlap in report.overlaps)


def test_leaked_marks_only_test_faces_that_training_has(leaky: Dataset) -> None:
    mask = leaked(leaky, ["Training"], ["PrivateTest"])
    assert np.flatnonzero(mask).tolist() == [8, 14]
    both = leaked(leaky, ["Training"], ["PublicTest", "PrivateTest"])
    assert np.flatnonzero(both).tolist() == [8, 13, 14]


def test_drop_leaks_takes_from_training_what_the_kept_splits_hold(leaky: Dataset) -> None:
    clean = drop_leaks(leaky, keep=("PublicTest", "PrivateTest"))
    assert len(clean) == 28
    for split in ("PublicTest", "PrivateTest"):
        np.testing.assert_array_equal(clean.select(split).faces, leaky.select(split).faces)
    assert not leaked(clean, ["Training"], ["PublicTest", "PrivateTest"]).any()


def test_an_unknown_split_is_named(leaky: Dataset) -> None:
    with pytest.raises(FerEdgeError, match="no split 'Holdout'"):
        drop_leaks(leaky, keep=("Holdout",))
    with pytest.raises(FerEdgeError, match="no split 'Holdout'"):
        leaked(leaky, ["Training"], ["Holdout"])


@pytest.fixture(scope="module")
def drawn() -> np.ndarray:
    return synthetic_faces(300).faces


def _darker(face: np.ndarray) -> np.ndarray:
    return (0.6 * face + 10).astype(np.uint8)


def _stamped(face: np.ndarray) -> np.ndarray:
    stamped = face.copy()
    stamped[40:45, 8:30] = np.minimum(255, stamped[40:45, 8:30].astype(int) + 40)
    return stamped


@pytest.mark.parametrize("change", [_darker, _stamped])
def test_near_pairs_finds_a_photo_again_under_light_and_watermark(
    change: object, drawn: np.ndarray
) -> None:
    assert callable(change)
    # noisy drawings are not alike even to themselves when changed: take the clear ones
    clear = drawn[np.argsort(-drawn.std(axis=(1, 2)))[:20]]
    faces = np.concatenate([clear, np.stack([change(face) for face in clear])])
    found = {tuple(pair) for pair in near_pairs(faces).tolist()}
    assert {(number, number + 20) for number in range(20)} <= found


def test_near_pairs_finds_mirror_images_only_when_asked(drawn: np.ndarray) -> None:
    faces = np.stack([drawn[0], drawn[1], drawn[0][:, ::-1]])
    assert near_pairs(faces).tolist() == []
    assert near_pairs(faces, mirrored=True).tolist() == [[0, 2]]


def test_near_pairs_does_not_depend_on_the_block_size(
    drawn: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = np.concatenate([drawn, np.stack([_darker(face) for face in drawn])])
    whole = near_pairs(faces)
    monkeypatch.setattr("fer_edge.data.near._BLOCK", 7 * len(faces))
    np.testing.assert_array_equal(near_pairs(faces), whole)
    assert len(whole) >= 250


def test_flat_pictures_are_near_nothing() -> None:
    assert len(near_pairs(np.full((4, 48, 48), 9, np.uint8))) == 0
