from __future__ import annotations

import gzip
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data_samples import fer2013_csv, pack, small_dataset, spread

from fer_edge import archives
from fer_edge.data import load_dataset
from fer_edge.data.dataset import Dataset
from fer_edge.data.ferplus import NO_MAJORITY, VOTE_COLUMNS, join_votes, majority_targets
from fer_edge.errors import FerEdgeError
from fer_edge.labels import LABELS, label_index


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
    reverse = dict(reversed(data.items()))
    nested = {"fer2013.tar.gz": pack(tmp_path / "both.tar.gz", data).read_bytes()}
    for path in (
        spread(tmp_path / "folder", data),
        tmp_path / "folder" / "fer2013.csv",
        spread(tmp_path / "nested", nested),
        *(pack(tmp_path / f"both.{kind}", data) for kind in ("zip", "tar", "tar.gz")),
        pack(tmp_path / "reverse.tar.gz", reverse),
        pack(tmp_path / "folder" / "fer2013.tar.gz", {"fer2013.csv": data["fer2013.csv"]}),
    ):
        loaded = load_dataset(path)
        assert loaded.votes is not None, path
        np.testing.assert_array_equal(loaded.votes, votes)
        assert loaded.fingerprint() == dataset.fingerprint()


def test_a_packed_tar_is_not_read_twice_for_its_votes(
    dataset: Dataset, votes: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "_BUFFER", 4096)
    restarted_at = []
    rewind = gzip._GzipReader._rewind

    def watched(self: gzip._GzipReader) -> None:
        restarted_at.append(self.tell())
        rewind(self)

    monkeypatch.setattr(gzip._GzipReader, "_rewind", watched)
    faces, rows = fer2013_csv(dataset).encode(), votes_csv(dataset, votes).encode()
    content = {"fer2013.csv": faces, "fer2013new.csv": rows}
    assert load_dataset(pack(tmp_path / "both.tar.gz", content)).votes is not None
    assert restarted_at == []
    reverse = dict(reversed(content.items()))
    assert load_dataset(pack(tmp_path / "reverse.tar.gz", reverse)).votes is not None
    assert max(restarted_at, default=0) < len(faces), "back to the votes, before the faces"


def test_votes_beside_a_part_of_fer2013_or_other_faces_are_left_alone(
    dataset: Dataset, votes: np.ndarray, tmp_path: Path
) -> None:
    text = fer2013_csv(dataset)
    (tmp_path / "fer2013new.csv").write_text(votes_csv(dataset, votes))
    for name in ("train.csv", "faces.csv"):
        (tmp_path / name).write_text(text)
        assert load_dataset(tmp_path / name).votes is None


def test_votes_can_be_named_apart_and_follow_a_selection(
    dataset: Dataset, votes: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "faces.csv").write_text(fer2013_csv(dataset))
    (tmp_path / "votes.csv").write_text(votes_csv(dataset, votes))
    loaded = load_dataset(tmp_path / "faces.csv", votes=tmp_path / "votes.csv")
    chosen = loaded.select("PublicTest")
    assert chosen.votes is not None
    np.testing.assert_array_equal(chosen.votes, votes[dataset.splits == "PublicTest"])


def test_votes_are_found_in_a_folder_or_archive_by_their_name(
    dataset: Dataset, votes: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "faces.csv").write_text(fer2013_csv(dataset))
    rows = votes_csv(dataset, votes).encode()
    content = {"LICENSE": b"MIT", "fer2013new.csv": rows, "z.txt": b""}
    for path in (
        spread(tmp_path / "FERPlus", content),
        pack(tmp_path / "FERPlus.tar.gz", content),
        pack(tmp_path / "votes.csv.gz", {"votes.csv": rows}),
    ):
        loaded = load_dataset(tmp_path / "faces.csv", votes=path).votes
        assert loaded is not None
        np.testing.assert_array_equal(loaded, votes)
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", pack(tmp_path / "other.zip", {"a": b"", "b": b""})):
        with pytest.raises(FerEdgeError, match=r"holds no fer2013new\.csv: "):
            load_dataset(tmp_path / "faces.csv", votes=path)


def test_a_quote_that_does_not_end_is_refused_by_its_line(
    dataset: Dataset, votes: np.ndarray
) -> None:
    lines = votes_csv(dataset, votes).splitlines()
    lines[3] = lines[3].replace("fer0", '"fer0')
    with pytest.raises(FerEdgeError, match=r"line [0-9]+: field larger than field limit") as error:
        _join(dataset, "\n".join([*lines, *lines[1:2] * 6000]))
    assert "quote" in error.value.hint
    lines[3] = lines[3].replace('"', "").replace("png,", 'png,"')
    with pytest.raises(FerEdgeError, match="row 4: votes are ") as error:
        _join(dataset, "\n".join(lines))
    assert "\n" not in error.value.message
    assert len(error.value.message) < 100


def _join(dataset: Dataset, text: str) -> Dataset:
    return join_votes(dataset, io.BytesIO(text.encode()), "fer2013new.csv")


def test_a_row_of_another_split_is_refused(dataset: Dataset, votes: np.ndarray) -> None:
    shifted = replace(dataset, splits=np.roll(dataset.splits, 1))
    with pytest.raises(FerEdgeError, match="row 2: Usage is 'PrivateTest', but fer2013 has 'Train"):
        _join(dataset, votes_csv(shifted, votes))


def test_votes_that_are_out_of_step_within_a_split_are_refused() -> None:
    dataset = small_dataset(3 * 210)
    # two of three majorities are the label, as in FER2013
    wrong = np.arange(len(dataset)) // 3 % 3 == 0
    named = [LABELS[target] for target in (dataset.targets + wrong) % 7]
    column = {label_index(name): number for number, name in enumerate(VOTE_COLUMNS)}
    votes = np.zeros((len(dataset), 10), np.uint8)
    votes[np.arange(len(dataset)), [column[label_index(name)] for name in named]] = 10
    joined = _join(dataset, votes_csv(dataset, votes))
    np.testing.assert_array_equal(joined.votes, votes)
    with pytest.raises(FerEdgeError, match=r"of 210 majorities in Training only [0-9]+% are the"):
        _join(dataset, votes_csv(dataset, np.roll(votes, 3, axis=0)))


def test_another_number_of_rows_is_refused(dataset: Dataset, votes: np.ndarray) -> None:
    with pytest.raises(FerEdgeError, match="20 rows of votes for 21 faces"):
        _join(dataset, votes_csv(dataset.subset(np.arange(20)), votes[:20]))


@pytest.mark.parametrize("bad", ["11", "-1", "x", "", "²", "9" * 5000])
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
