from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data_samples import fer2013_csv, pack, spread

from fer_edge.data import load_dataset
from fer_edge.data.dataset import Dataset
from fer_edge.data.ferplus import NO_MAJORITY, VOTE_COLUMNS, join_votes, majority_targets
from fer_edge.errors import FerEdgeError
from fer_edge.labels import LABELS


def votes_csv(dataset: Dataset, votes: np.ndarray) -> str:
    lines = ["Usage,Image name," + ",".join(VOTE_COLUMNS)]
    for number, (split, row) in enumerate(
        zip(dataset.splits.tolist(), votes.tolist(), strict=True)
    ):
        lines.append(f"{split},fer{number:07}.png," + ",".join(map(str, row)))
    return "\n".join(lines) + "\n"


@pytest.fixture
def votes(dataset: Dataset) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 11, (len(dataset), 10)).astype(np.uint8)


def test_votes_are_joined_where_they_lie_beside_fer2013(
    dataset: Dataset, votes: np.ndarray, tmp_path: Path
) -> None:
    files = {"fer2013.csv": fer2013_csv(dataset), "fer2013new.csv": votes_csv(dataset, votes)}
    data = {name: text.encode() for name, text in files.items()}
    for path in (spread(tmp_path / "folder", data), pack(tmp_path / "both.zip", data)):
        loaded = load_dataset(path)
        assert loaded.votes is not None
        np.testing.assert_array_equal(loaded.votes, votes)
        assert loaded.fingerprint() == dataset.fingerprint()


def test_votes_can_be_named_apart_and_follow_a_selection(
    dataset: Dataset, votes: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "faces.csv").write_text(fer2013_csv(dataset))
    (tmp_path / "votes.csv").write_text(votes_csv(dataset, votes))
    loaded = load_dataset(tmp_path / "faces.csv", votes=tmp_path / "votes.csv")
    chosen = loaded.select("PublicTest")
    assert chosen.votes is not None
    np.testing.assert_array_equal(chosen.votes, votes[dataset.splits == "PublicTest"])


def _join(dataset: Dataset, text: str) -> Dataset:
    return join_votes(dataset, io.BytesIO(text.encode()), "fer2013new.csv")


def test_a_row_of_another_split_is_refused(dataset: Dataset, votes: np.ndarray) -> None:
    shifted = replace(dataset, splits=np.roll(dataset.splits, 1))
    with pytest.raises(FerEdgeError, match="row 2: Usage is 'PrivateTest', but fer2013 has 'Train"):
        _join(dataset, votes_csv(shifted, votes))


def test_another_number_of_rows_is_refused(dataset: Dataset, votes: np.ndarray) -> None:
    with pytest.raises(FerEdgeError, match="20 rows of votes for 21 faces"):
        _join(dataset, votes_csv(dataset.subset(np.arange(20)), votes[:20]))


@pytest.mark.parametrize("bad", ["11", "-1", "x", ""])
def test_a_bad_vote_is_refused_by_its_row(bad: str, dataset: Dataset, votes: np.ndarray) -> None:
    lines = votes_csv(dataset, votes).splitlines()
    lines[4] = lines[4].rsplit(",", 1)[0] + "," + bad
    with pytest.raises(FerEdgeError, match="row 5: votes are"):
        _join(dataset, "\n".join(lines))


def test_a_missing_column_is_named(dataset: Dataset, votes: np.ndarray) -> None:
    with pytest.raises(FerEdgeError, match="no column 'contempt'"):
        _join(dataset, votes_csv(dataset, votes).replace("contempt", "scorn"))


def test_votes_are_not_joined_to_rows_of_which_some_were_skipped(
    dataset: Dataset, votes: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "fer2013.csv").write_text(fer2013_csv(dataset) + "3,1 2 3,Training\n")
    (tmp_path / "fer2013new.csv").write_text(votes_csv(dataset, votes))
    with pytest.raises(FerEdgeError, match="1 rows were skipped"):
        load_dataset(tmp_path, skip_bad=True)


def _votes(**counts: int) -> list[int]:
    return [counts.get(name, 0) for name in VOTE_COLUMNS]


@pytest.mark.parametrize(
    ("row", "label"),
    [
        (_votes(happiness=10), "happy"),
        (_votes(anger=4, disgust=3, fear=1, neutral=1, sadness=1), "angry"),  # 4 of 7 that count
        (_votes(sadness=5, neutral=5), None),
        (_votes(neutral=4, sadness=3, fear=3), None),
        (_votes(contempt=9, anger=1), None),
        (_votes(NF=10), None),
        (_votes(), None),
    ],
)
def test_majority_needs_more_than_half_of_the_votes_that_count(
    row: list[int], label: str | None
) -> None:
    expected = NO_MAJORITY if label is None else LABELS.index(label)
    assert majority_targets(np.array([row], np.uint8)).tolist() == [expected]
