from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from data_samples import fer2013_csv, pack, pixels, small_dataset, spread

from fer_edge.data import load_dataset
from fer_edge.data.dataset import Dataset
from fer_edge.errors import FerEdgeError


@pytest.mark.parametrize(
    "name",
    [
        "fer2013.csv.gz",
        "fer2013.zip",
        "fer2013.tar",
        "fer2013.tar.gz",
        "renamed-without-suffix.tar.gz",
    ],
)
def test_the_csv_reads_the_same_from_every_wrapping(
    name: str, dataset: Dataset, tmp_path: Path
) -> None:
    text = fer2013_csv(dataset).encode()
    loaded = load_dataset(pack(tmp_path / name, {"fer2013/fer2013.csv": text}))
    assert loaded.fingerprint() == dataset.fingerprint()
    assert loaded.name == "fer2013"


def test_the_plain_csv_reads_back_what_was_written(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "faces.csv").write_text(fer2013_csv(dataset))
    loaded = load_dataset(tmp_path / "faces.csv")
    np.testing.assert_array_equal(loaded.faces, dataset.faces)
    np.testing.assert_array_equal(loaded.targets, dataset.targets)
    assert loaded.splits.tolist() == dataset.splits.tolist()
    assert loaded.faces.dtype == loaded.targets.dtype == np.uint8
    assert loaded.name == "faces"
    assert loaded.skipped == ()


def test_odd_spaces_order_quotes_line_ends_and_byte_order_mark_do_not_matter(
    dataset: Dataset, tmp_path: Path
) -> None:
    rows = zip(dataset.targets.tolist(), dataset.splits.tolist(), dataset.faces, strict=True)
    lines = [f'{split}, "{pixels(face)}" ,{target}' for target, split, face in rows]
    text = "\r\n".join(["\ufeff Usage, pixels,emotion", *lines]) + "\r\n\r\n"
    (tmp_path / "icml_face_data.csv").write_bytes(text.encode())
    loaded = load_dataset(tmp_path / "icml_face_data.csv")
    assert loaded.fingerprint() == dataset.fingerprint()


def _halves(dataset: Dataset, labelled: bool) -> dict[str, bytes]:
    train = ["emotion,pixels"] + [f"{t},{pixels(f)}" for t, f in _rows(dataset.subset(slice(14)))]
    rest = _rows(dataset.subset(slice(14, None)))
    test = ["emotion,pixels"] + [f"{t},{pixels(f)}" for t, f in rest]
    if not labelled:
        test = ["pixels"] + [pixels(f) for _, f in rest]
    return {"train.csv": "\n".join(train).encode(), "test.csv": "\n".join(test).encode()}


def _rows(dataset: Dataset) -> list[tuple[int, np.ndarray]]:
    return list(zip(dataset.targets.tolist(), dataset.faces, strict=True))


def test_a_folder_of_train_and_test_csv_gives_both_splits(dataset: Dataset, tmp_path: Path) -> None:
    loaded = load_dataset(spread(tmp_path, _halves(dataset, labelled=True)))
    np.testing.assert_array_equal(loaded.faces, dataset.faces)
    assert loaded.splits.tolist() == ["Training"] * 14 + ["PrivateTest"] * 7


def test_train_and_test_csv_are_found_in_their_own_zips(dataset: Dataset, tmp_path: Path) -> None:
    for name, data in _halves(dataset, labelled=True).items():
        pack(tmp_path / f"{name}.zip", {name: data})
    np.testing.assert_array_equal(load_dataset(tmp_path).faces, dataset.faces)


def test_a_test_csv_without_labels_is_left_out_with_a_warning(
    dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    archive = pack(tmp_path / "kaggle.zip", _halves(dataset, labelled=False))
    loaded = load_dataset(archive)
    assert loaded.split_names == ("Training",)
    assert len(loaded) == 14
    assert "test.csv has no column 'emotion'" in caplog.text


def test_a_test_csv_without_labels_alone_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    spread(tmp_path, {"test.csv": _halves(dataset, labelled=False)["test.csv"]})
    with pytest.raises(FerEdgeError, match=r"no column 'emotion'.*have no labels") as refused:
        load_dataset(tmp_path / "test.csv")
    assert "icml_face_data.csv" in refused.value.hint


def test_of_several_csvs_in_an_archive_the_complete_one_is_read(
    dataset: Dataset, tmp_path: Path
) -> None:
    members = {"example_submission.csv": b"id,emotion\n1,0\n", **_halves(dataset, labelled=False)}
    members["icml_face_data.csv"] = fer2013_csv(dataset).encode()
    for name in ("challenge.zip", "challenge.tar.gz"):
        loaded = load_dataset(pack(tmp_path / name, members))
        assert loaded.fingerprint() == dataset.fingerprint()


GOOD = pixels(small_dataset(1).faces[0])
BAD_ROWS = {
    "one pixel short": (f"3,{GOOD.rsplit(' ', 1)[0]},Training", "2303 pixels instead of 2304"),
    "no pixels": ("3,,Training", "0 pixels instead of 2304"),
    "over 255": (f"3,256{GOOD[GOOD.index(' ') :]},Training", "pixel 1 is 256, over 255"),
    "far over 255": (f"3,{2**64 + 7}{GOOD[GOOD.index(' ') :]},Training", "over 255"),
    "negative": (f"3,-1{GOOD[GOOD.index(' ') :]},Training", "pixel 1 is -1, below 0"),
    "decimal": (f"3,1.5{GOOD[GOOD.index(' ') :]},Training", "pixel 1 is '1.5', not a whole number"),
    "word": (f"3,{GOOD} nan,Training", "pixel 2305 is 'nan', not a whole number"),
    "tabs": (f"3,{GOOD.replace(' ', chr(9))},Training", "separated by something else than spaces"),
    "class 7": (f"7,{GOOD},Training", "unknown label '7'"),
    "no class": (f",{GOOD},Training", "unknown label ''"),
    "class -1": (f"-1,{GOOD},Training", "unknown label '-1'"),
    "split": (f"3,{GOOD},Holiday", "unknown split 'Holiday'"),
    "column missing": (f"3,{GOOD}", "2 columns instead of 3"),
    "column too many": (f"3,{GOOD},Training,x", "4 columns instead of 3"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_bad_row_is_refused_by_its_number_or_skipped_and_counted(
    case: str, dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    line, reason = BAD_ROWS[case]
    lines = fer2013_csv(dataset).splitlines()
    lines.insert(5, line)
    path = tmp_path / "fer2013.csv"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(FerEdgeError) as refused:
        load_dataset(path)
    assert refused.value.message.startswith("fer2013.csv, row 6: ")
    assert reason in refused.value.message
    assert "--skip-bad" in refused.value.hint
    with caplog.at_level(logging.WARNING):
        loaded = load_dataset(path, skip_bad=True)
    assert loaded.fingerprint() == dataset.fingerprint()
    assert len(loaded.skipped) == 1
    assert loaded.skipped[0].startswith("fer2013.csv, row 6: ")
    assert "left out 1 bad rows" in caplog.text


def test_the_warning_about_skipped_rows_shows_the_first_few_and_counts_the_rest(
    dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "fer2013.csv"
    path.write_text(fer2013_csv(dataset) + "9,1 2,Training\n" * 8)
    loaded = load_dataset(path, skip_bad=True)
    assert len(loaded.skipped) == 8
    assert "left out 8 bad rows" in caplog.text
    assert "row 23" in caplog.text
    assert "row 30" not in caplog.text
    assert "and 3 more" in caplog.text


def test_a_csv_cut_off_in_its_last_row_is_said_to_be_truncated(
    dataset: Dataset, tmp_path: Path
) -> None:
    path = tmp_path / "fer2013.csv"
    path.write_text(fer2013_csv(dataset)[:-500])
    with pytest.raises(FerEdgeError, match=r"row 22: .*truncated\?"):
        load_dataset(path)


def test_label_names_are_taken_for_class_numbers(dataset: Dataset, tmp_path: Path) -> None:
    text = fer2013_csv(dataset).replace("\n3,", "\nHappiness,").replace("\n4,", "\nsad,")
    (tmp_path / "fer2013.csv").write_text(text)
    assert load_dataset(tmp_path / "fer2013.csv").fingerprint() == dataset.fingerprint()


def test_a_row_without_end_is_refused_before_it_fills_memory(tmp_path: Path) -> None:
    path = tmp_path / "fer2013.csv"
    path.write_text("emotion,pixels,Usage\n3," + "1 " * 100_000)
    with pytest.raises(FerEdgeError, match="row 2: longer than"):
        load_dataset(path, skip_bad=True)
