"""FER2013 itself, as its users have it, and its FER+ votes; skipped where they are not at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fer_edge.data import load_dataset
from fer_edge.data.audit import audit
from fer_edge.data.dataset import Dataset
from fer_edge.data.ferplus import NO_MAJORITY, majority_targets
from fer_edge.data.packed import write_packed

FINGERPRINT = "b8c7c51efe273263c4fe6219018ae345511132b03f321f220ef9bde3f8db40ef"


@pytest.fixture(scope="module")
def fer2013(real_data: Any) -> Dataset:
    return load_dataset(real_data / "fer2013.tar.gz", votes=real_data / "fer2013new.csv")


def test_it_has_its_known_fingerprint(fer2013: Dataset) -> None:
    assert fer2013.fingerprint() == FINGERPRINT


def test_its_known_leaks_are_found(fer2013: Dataset) -> None:
    report = audit(fer2013, near=False)
    assert (report.duplicate_groups, report.duplicate_faces) == (1516, 3369)
    assert (report.conflicting_groups, report.groups_across_splits) == (57, 557)
    by_splits = {(overlap.first, overlap.second): overlap for overlap in report.overlaps}
    assert by_splits["Training", "PrivateTest"].faces_second == 288
    assert by_splits["PublicTest", "PrivateTest"].groups == 43


def test_packed_it_is_small_and_the_same(fer2013: Dataset, tmp_path: Path) -> None:
    write_packed(fer2013, tmp_path / "fer2013.npz")
    assert (tmp_path / "fer2013.npz").stat().st_size < 62e6
    assert load_dataset(tmp_path / "fer2013.npz").fingerprint() == FINGERPRINT


def test_ferplus_names_3137_faces_of_the_test_split_clearly(fer2013: Dataset) -> None:
    votes = fer2013.select("PrivateTest").votes
    assert votes is not None
    assert int((majority_targets(votes) != NO_MAJORITY).sum()) == 3137
