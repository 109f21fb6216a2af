from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fer_edge.data import load_dataset
from fer_edge.data.dataset import Dataset
from fer_edge.data.packed import write_packed
from fer_edge.errors import FerEdgeError
from fer_edge.labels import LABELS


@pytest.fixture
def rich(dataset: Dataset) -> Dataset:
    """Duplicates, votes, and splits in another order than the alphabet's."""
    faces = dataset.faces.copy()
    faces[3] = faces[17]
    faces[5] = 255
    faces[6, ::2] = 0
    votes = np.random.default_rng(2).integers(0, 11, (len(faces), 10)).astype(np.uint8)
    return replace(dataset, faces=faces, votes=votes)


def test_a_packed_dataset_comes_back_to_the_last_bit(rich: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "small.npz"
    write_packed(rich, path)
    loaded = load_dataset(path)
    np.testing.assert_array_equal(loaded.faces, rich.faces)
    np.testing.assert_array_equal(loaded.targets, rich.targets)
    np.testing.assert_array_equal(loaded.splits, rich.splits)
    np.testing.assert_array_equal(loaded.votes, rich.votes)
    assert (loaded.name, loaded.labels) == (rich.name, rich.labels)
    assert loaded.fingerprint() == rich.fingerprint()
    assert loaded.faces.flags.c_contiguous


def test_extreme_steps_between_pixels_survive(tmp_path: Path) -> None:
    board = (255 * (np.indices((48, 48)).sum(0) % 2)).astype(np.uint8)
    edge = np.zeros((48, 48), np.uint8)
    edge[:, 24:] = 255
    faces = np.stack([board, 255 - board, edge, edge.T, 255 - edge])
    dataset = Dataset("steps", LABELS, faces, np.zeros(5, np.uint8), np.array(["Training"] * 5))
    write_packed(dataset, tmp_path / "steps.npz")
    np.testing.assert_array_equal(load_dataset(tmp_path / "steps.npz").faces, faces)


def test_equal_datasets_give_equal_files(rich: Dataset, tmp_path: Path) -> None:
    write_packed(rich, tmp_path / "a.npz")
    write_packed(rich, tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_copies_of_a_picture_are_stored_once(rich: Dataset, tmp_path: Path) -> None:
    tenfold = rich.subset(np.tile(np.arange(len(rich)), 10))
    write_packed(rich, tmp_path / "once.npz")
    write_packed(tenfold, tmp_path / "tenfold.npz")
    once = (tmp_path / "once.npz").stat().st_size
    assert (tmp_path / "tenfold.npz").stat().st_size < once + 6000


def test_numpy_opens_the_file(rich: Dataset, tmp_path: Path) -> None:
    write_packed(rich, tmp_path / "small.npz")
    with np.load(tmp_path / "small.npz") as archive:
        np.testing.assert_array_equal(archive["targets"], rich.targets)
        assert archive["residuals"].shape == (20, 48, 48)


def test_every_flipped_byte_is_noticed(rich: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "small.npz"
    write_packed(rich, path)
    whole = path.read_bytes()
    reference = rich.fingerprint()
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(whole), 60).tolist():
        broken = bytearray(whole)
        broken[position] ^= 0x5A
        path.write_bytes(broken)
        try:
            loaded = load_dataset(path)
        except FerEdgeError:
            continue
        # dates and attributes of a zip's members carry nothing of the dataset
        assert loaded.fingerprint() == reference
        np.testing.assert_array_equal(loaded.votes, rich.votes)


def test_a_truncated_file_is_refused(rich: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "small.npz"
    write_packed(rich, path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(FerEdgeError, match=r"small.npz is damaged"):
        load_dataset(path)


def _rewritten(path: Path, **changes: object) -> Path:
    """The same file with another manifest, its checksums right."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members["manifest.json"]) | changes
    members["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "version 2; this fer-edge reads"),
        ({"fingerprint": "0" * 64}, "does not match its own fingerprint"),
        ({"labels": ["a", "b"]}, "does not match its own fingerprint"),
        ({"faces": 20}, "not a sound packed dataset: index.npy is"),
        ({"distinct": 10**12}, "not a sound packed dataset: residuals.npy is"),
        ({"splits": ["Training"]}, "not a sound packed dataset"),
        ({"faces": None}, "not a sound packed dataset"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(
    changes: dict[str, object], message: str, rich: Dataset, tmp_path: Path
) -> None:
    write_packed(rich, tmp_path / "small.npz")
    with pytest.raises(FerEdgeError, match=message):
        load_dataset(_rewritten(tmp_path / "small.npz", **changes))


def test_more_splits_than_a_byte_counts_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    many = dataset.subset(np.arange(300) % len(dataset))
    for count in (256, 257):
        splits = np.array([f"person{number % count}" for number in range(300)])
        if count == 256:
            write_packed(replace(many, splits=splits), tmp_path / "many.npz")
            assert load_dataset(tmp_path / "many.npz").splits.tolist() == splits.tolist()
            continue
        with pytest.raises(FerEdgeError, match="has 257 splits, and a packed dataset holds up to"):
            write_packed(replace(many, splits=splits), tmp_path / "more.npz")


def test_another_suffix_is_refused_before_anything_is_written(
    rich: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(FerEdgeError, match=r"called \*.npz, got 'faces.csv'"):
        write_packed(rich, tmp_path / "faces.csv")
    assert list(tmp_path.iterdir()) == []
