"""Labels that nobody but the user knows: in labels.txt, or as the names of folders."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import cv2
import numpy as np
import pytest
from data_samples import spread

from fer_edge.data import load_dataset
from fer_edge.errors import FerEdgeError
from fer_edge.labels import LABELS

FACE = cv2.imencode(".png", np.arange(2304, dtype=np.uint8).reshape(48, 48))[1].tobytes()


def folders(where: Path, *names: str) -> Path:
    return spread(where, {f"{name}/1.png": FACE for name in names})


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (("laughing", "Cross", "astonished"), ("astonished", "cross", "laughing")),
        (("happy", "bored", "hungry"), ("bored", "happy", "hungry")),
        (("train/up", "train/down", "test/down"), ("down", "up")),
        (("happy", "sadness", "calm"), LABELS),
    ],
)
def test_folders_that_are_not_all_known_labels_name_the_labels(
    names: tuple[str, ...],
    labels: tuple[str, ...],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert load_dataset(folders(tmp_path, *names), own_labels=True).labels == labels
    assert (", ".join(labels) in caplog.text) is (labels != LABELS)


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        (".faces", "faces"),
        ("my.faces", "my"),
        ("...", "dataset"),
        ("a\tb", "ab"),
        ("x" * 120, "x" * 100),
    ],
)
def test_a_dataset_has_a_name_that_a_bundle_can_hold(
    folder: str, name: str, tmp_path: Path
) -> None:
    assert load_dataset(folders(tmp_path / folder, "happy", "sad")).name == name


def test_a_label_with_an_accent_is_one_however_it_is_spelt_out(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "Fröhlich") for form in ("NFC", "NFD"))
    path = folders(tmp_path, f"train/{decomposed}", f"test/{composed}", "train/wach", "test/wach")
    assert load_dataset(path, own_labels=True).labels == ("fröhlich", "wach")
    for form in (composed, decomposed):
        (path / "labels.txt").write_text(f"wach\n{form}\n", encoding="utf-8")
        assert load_dataset(path).labels == ("wach", "fröhlich")


@pytest.mark.parametrize("folder", ["fr\udcf6hlich", "\udcf6/happy"])
def test_a_folders_name_that_is_no_text_is_refused(folder: str, tmp_path: Path) -> None:
    path = folders(tmp_path, folder, "a/happy")
    with pytest.raises(FerEdgeError, match=r"the name of the folder '.*' is not UTF-8") as refused:
        load_dataset(path, own_labels=True)
    assert refused.value.hint == "rename it"


@pytest.mark.parametrize("sign", ["\x1b[31m", "\n", "\t", "\x7f", "\x9b"])
@pytest.mark.parametrize("folder", ["a{}b", "a{}b/happy"])
def test_a_folders_name_that_a_terminal_would_obey_is_refused(
    folder: str, sign: str, tmp_path: Path
) -> None:
    path = folders(tmp_path, folder.format(sign), "c/sad")
    with pytest.raises(FerEdgeError, match="has control characters") as refused:
        load_dataset(path, own_labels=True)
    assert f"'a{repr(sign)[1:-1]}b'" in refused.value.message
    assert refused.value.hint == "rename it"


def test_a_listed_label_that_a_terminal_would_obey_is_refused(tmp_path: Path) -> None:
    path = folders(tmp_path, "up", "down")
    (path / "labels.txt").write_text("up\ndo\x1b[2Jwn\n")
    with pytest.raises(FerEdgeError, match=r"the label 'do\\x1b\[2jwn' has control characters"):
        load_dataset(path)


@pytest.mark.parametrize("own_labels", [True, False])
@pytest.mark.parametrize("wrong", ["hapy", "suprise", "Nuetral", "happyness"])
def test_a_known_label_misspelt_is_no_label_of_ones_own(
    wrong: str, own_labels: bool, tmp_path: Path
) -> None:
    path = folders(tmp_path, "sad", wrong)
    with pytest.raises(FerEdgeError, match=f"'{wrong}' is no known label") as refused:
        load_dataset(path, own_labels=own_labels)
    meant = {"hapy": "happy", "suprise": "surprise", "Nuetral": "neutral"}
    assert f"did you mean '{meant.get(wrong, 'happiness')}'?" in refused.value.hint
    (path / "labels.txt").write_text(f"{wrong}\nsad\n")
    assert load_dataset(path, own_labels=own_labels).labels == (wrong.lower(), "sad")


def test_without_asking_for_own_labels_the_command_that_learns_them_is_named(
    tmp_path: Path,
) -> None:
    with pytest.raises(FerEdgeError, match="'astonished' is no known label") as refused:
        load_dataset(folders(tmp_path, "laughing", "astonished"))
    assert refused.value.hint.endswith(f"fer-edge train --from edge-small --data {tmp_path}")


@pytest.mark.parametrize("known", [LABELS, ("wach", "müde")])
def test_what_is_no_label_of_a_model_is_left_out_with_skip_bad(
    known: tuple[str, ...], tmp_path: Path
) -> None:
    path = folders(tmp_path, "bored", *known)
    loaded = load_dataset(path, own_labels=True, skip_bad=True, model_labels=known)
    assert (loaded.labels, len(loaded), len(loaded.skipped)) == (known, len(known), 1)
    loaded = load_dataset(path, own_labels=True, model_labels=known)
    assert loaded.labels == tuple(sorted({"bored", *known}))


def test_pictures_beside_the_folders_or_in_a_splits_folder_have_no_label(tmp_path: Path) -> None:
    for number, file in enumerate(("1.png", "train/1.png")):
        path = spread(folders(tmp_path / str(number), "up", "down"), {file: FACE})
        with pytest.raises(FerEdgeError, match="not in a label's folder"):
            load_dataset(path, own_labels=True)


@pytest.mark.parametrize("listed", [True, False])
def test_a_label_that_no_table_can_hold_is_refused(listed: bool, tmp_path: Path) -> None:
    long = "b" * 65
    folders(tmp_path, "bored", long)
    if listed:
        (tmp_path / "labels.txt").write_text(f"bored\n{long}\n")
    with pytest.raises(FerEdgeError, match="the label 'bbbbbbbbbbbbbbbbbbbb…' has 65 characters"):
        load_dataset(tmp_path, own_labels=True)


def test_more_folders_than_labels_can_be_are_refused(tmp_path: Path) -> None:
    path = folders(tmp_path, *(f"person {number}" for number in range(101)))
    with pytest.raises(FerEdgeError, match="101 folders of different names, too many"):
        load_dataset(path, own_labels=True)
