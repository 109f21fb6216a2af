from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from data_samples import pack, small_dataset

from fer_edge.data import load_dataset
from fer_edge.data.packed import write_packed
from fer_edge.errors import FerEdgeError
from fer_edge.labels import CKPLUS_LABELS

FOLDERS = ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")


@pytest.fixture
def ck48(tmp_path: Path) -> Path:
    """Three frames of each expression of four subjects, called as CK+48 calls them."""
    rng = np.random.default_rng(1)
    members = {}
    for subject in (5, 10, 11, 999):
        for number, folder in enumerate(FOLDERS, start=1):
            for frame in (17, 18, 19):
                face = rng.integers(0, 256, (48, 48)).astype(np.uint8)
                name = f"CK+48/{folder}/S{subject:03}_{number:03}_{frame:08}.png"
                members[name] = cv2.imencode(".png", face)[1].tobytes()
    return pack(tmp_path / "CK+48.zip", members)


def test_ck48_keeps_its_own_seven_labels_and_its_subjects(ck48: Path) -> None:
    loaded = load_dataset(ck48)
    assert (loaded.name, loaded.labels, loaded.split_names) == ("ck+48", CKPLUS_LABELS, ("all",))
    assert "contempt" in loaded.labels
    assert "neutral" not in loaded.labels
    assert np.bincount(loaded.targets).tolist() == [12] * 7
    assert loaded.subjects is not None
    assert sorted(set(loaded.subjects.tolist())) == ["S005", "S010", "S011", "S999"]


def test_packing_keeps_the_subjects(ck48: Path, tmp_path: Path) -> None:
    loaded = load_dataset(ck48)
    write_packed(loaded, tmp_path / "ck.npz")
    again = load_dataset(tmp_path / "ck.npz")
    assert again.fingerprint() == loaded.fingerprint()
    np.testing.assert_array_equal(again.subjects, loaded.subjects)


def test_contempt_in_a_folder_that_is_not_ck48_is_still_no_known_label(tmp_path: Path) -> None:
    face = cv2.imencode(".png", small_dataset(1).faces[0])[1].tobytes()
    path = pack(tmp_path / "mine.zip", {"contempt/a.png": face, "happy/b.png": face})
    with pytest.raises(FerEdgeError, match="'contempt' is no known label"):
        load_dataset(path)


def test_frames_of_ck48_under_labels_of_ones_own_have_these(tmp_path: Path) -> None:
    face = cv2.imencode(".png", small_dataset(1).faces[0])[1].tobytes()
    names = ("cross/S005_001_00000017.png", "happy/S010_001_00000017.png")
    for number, labels in enumerate((None, ("happy", "cross"))):
        members = dict.fromkeys(names if labels else (names[0], f"glad/{names[1][6:]}"), face)
        if labels:
            members["labels.txt"] = "\n".join(labels).encode()
        path = pack(tmp_path / f"{number}.zip", members)
        assert load_dataset(path, own_labels=True).labels == (labels or ("cross", "glad"))


def test_the_real_ck48_has_981_faces_of_118_subjects(real_data: Any) -> None:
    loaded = load_dataset(real_data / "CK+48.zip")
    counts = dict(zip(loaded.labels, np.bincount(loaded.targets).tolist(), strict=True))
    assert counts == {
        "angry": 135,
        "contempt": 54,
        "disgust": 177,
        "fear": 75,
        "happy": 207,
        "sad": 84,
        "surprise": 249,
    }
    assert loaded.subjects is not None
    assert len(set(loaded.subjects.tolist())) == 118
