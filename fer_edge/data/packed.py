"""The packed form: a dataset in one file, lossless, at about two thirds of its pixels' size.

It is a NumPy ``.npz`` with these members:

- ``manifest.json``: format, version, name, labels, split names, counts, fingerprint.
- ``residuals``: (U, 48, 48) uint8, the U distinct pictures, each pixel less what the median edge
  detector of JPEG-LS predicts, modulo 256.
- ``index``: (N,) uint32, the distinct picture of each face.
- ``targets``: (N,) uint8; ``splits``: (N,) uint8, index into the manifest's split names.
- ``votes``: (N, 10) uint8, where there are FER+ votes.
- ``subjects``: (N,) unicode, where it is known who is in the picture.

The zip's checksums find a damaged member; the fingerprint is checked on top.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.archives import Entry
from fer_edge.data.dataset import Dataset
from fer_edge.data.own_labels import refuse_unwritable
from fer_edge.errors import FerEdgeError
from fer_edge.face import FACE_SIZE
from fer_edge.files import atomic_path

FORMAT = "fer-edge faces"
VERSION = 1
SUFFIX = ".npz"

_MOST_SPLITS = 256
"""Their numbers are a byte each."""

_HINT = "pack the dataset again"


def write_packed(dataset: Dataset, target: Path) -> None:
    """Write ``dataset`` to ``target``, whole or not at all; equal datasets give equal files.

    Raises:
        FerEdgeError: the name does not end in .npz, there are too many splits, or the file cannot
            be written.
    """
    if target.suffix != SUFFIX:
        raise FerEdgeError(
            f"a packed dataset is called *{SUFFIX}, got '{target.name}'", "choose such a name"
        )
    split_names = dataset.split_names
    if len(split_names) > _MOST_SPLITS:
        raise FerEdgeError(
            f"{dataset.name} has {len(split_names):,} splits, and a packed dataset holds up to "
            f"{_MOST_SPLITS}",
            "put the folders of its labels together",
        )
    pictures = dataset.faces.reshape(len(dataset), -1)
    # the first of each kind, in the order of appearance, keeps like pictures together
    seen: dict[bytes, int] = {}
    index = np.array([seen.setdefault(face.tobytes(), len(seen)) for face in pictures], np.uint32)
    distinct = np.frombuffer(b"".join(seen), np.uint8).reshape(-1, FACE_SIZE, FACE_SIZE)
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "name": dataset.name,
        "labels": dataset.labels,
        "splits": split_names,
        "faces": len(dataset),
        "distinct": len(distinct),
        "fingerprint": dataset.fingerprint(),
    }
    arrays = {
        "residuals": _residuals(distinct),
        "index": index,
        "targets": dataset.targets,
        "splits": np.array([split_names.index(name) for name in dataset.splits.tolist()], np.uint8),
    }
    if dataset.votes is not None:
        arrays["votes"] = dataset.votes
    if dataset.subjects is not None:
        arrays["subjects"] = dataset.subjects
    with (
        atomic_path(target) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        # ZipInfo's default date keeps the file reproducible
        archive.writestr(_member("manifest.json"), json.dumps(manifest, indent=2))
        for name, array in arrays.items():
            with archive.open(_member(f"{name}.npy"), "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)


def is_packed(entries: Sequence[Entry]) -> bool:
    """Whether a source's files are those of a packed dataset."""
    return {"manifest.json", "residuals.npy"} <= {entry.name for entry in entries}


def read_packed(entries: Sequence[Entry], where: str) -> Dataset:
    """Read what ``write_packed`` wrote.

    Raises:
        FerEdgeError: the file is damaged, not consistent, or of a later version.
    """
    by_name = {entry.name: entry for entry in entries}
    try:
        manifest = json.loads(_bytes(by_name["manifest.json"]))
        if manifest["format"] != FORMAT or manifest["version"] != VERSION:
            raise FerEdgeError(
                f"{where} is '{manifest['format']}' version {manifest['version']}; "
                f"this fer-edge reads '{FORMAT}' version {VERSION}",
                "update fer-edge, or pack the dataset again",
            )
        dataset = _assemble(manifest, by_name)
        for word in (dataset.name, *dataset.labels, *dataset.split_names):
            refuse_unwritable(word, f"{where}: the name")
    except (KeyError, TypeError, ValueError, IndexError, MemoryError) as error:
        raise FerEdgeError(f"{where} is not a sound packed dataset: {error}", _HINT) from error
    if dataset.fingerprint() != manifest["fingerprint"]:
        raise FerEdgeError(f"{where} does not match its own fingerprint", _HINT)
    return dataset


def _assemble(manifest: dict[str, Any], by_name: dict[str, Entry]) -> Dataset:
    count = int(manifest["faces"])
    index = _array(by_name["index.npy"], (count,), np.uint32)
    shape = (int(manifest["distinct"]), FACE_SIZE, FACE_SIZE)
    distinct = _pictures(_array(by_name["residuals.npy"], shape, np.uint8))
    votes = None
    if "votes.npy" in by_name:
        votes = _array(by_name["votes.npy"], (count, 10), np.uint8)
    subjects = None
    if "subjects.npy" in by_name:
        subjects = _names(by_name["subjects.npy"], count)
    split_names = np.array(manifest["splits"], dtype=str)
    return Dataset(
        name=str(manifest["name"]),
        labels=tuple(map(str, manifest["labels"])),
        faces=distinct[index],
        targets=_array(by_name["targets.npy"], (count,), np.uint8),
        splits=split_names[_array(by_name["splits.npy"], (count,), np.uint8)],
        votes=votes,
        subjects=subjects,
    )


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.compress_type = zipfile.ZIP_DEFLATED
    return member


def _bytes(entry: Entry) -> bytes:
    with entry.open() as stream:
        return stream.read()


def _array(entry: Entry, shape: tuple[int, ...], dtype: type[np.generic]) -> np.ndarray:
    """A writable array of exactly this shape and type."""
    stream = BytesIO(_bytes(entry))
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError(f"{entry.name} is of another .npy version")
    found, column_major, kind = np.lib.format.read_array_header_1_0(stream)
    if found != shape or kind != dtype or column_major:
        raise ValueError(f"{entry.name} is {kind} {found} instead of {np.dtype(dtype)} {shape}")
    # past the header lie the numbers, as many as the shape says or reshape complains
    return np.frombuffer(stream.getbuffer()[stream.tell() :], dtype).reshape(shape)


def _names(entry: Entry, count: int) -> np.ndarray:
    """(N,) unicode."""
    names = np.lib.format.read_array(BytesIO(_bytes(entry)), allow_pickle=False)
    if names.shape != (count,) or names.dtype.kind != "U":
        raise ValueError(f"{entry.name} is {names.dtype} {names.shape} instead of {count} names")
    return names


def _residuals(pictures: np.ndarray) -> np.ndarray:
    """Each pixel less its prediction, modulo 256; (U, 48, 48) uint8 to the same."""
    pixels = _pixel_major(pictures)
    residuals = np.empty_like(pixels)
    for row in range(FACE_SIZE):
        for column in range(FACE_SIZE):
            residuals[row, column] = pixels[row, column] - _prediction(pixels, row, column)
    return residuals.transpose(2, 0, 1)


def _pictures(residuals: np.ndarray) -> np.ndarray:
    """The inverse of ``_residuals``."""
    pixels = _pixel_major(residuals)
    for row in range(FACE_SIZE):
        for column in range(FACE_SIZE):
            pixels[row, column] += _prediction(pixels, row, column)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _pixel_major(pictures: np.ndarray) -> np.ndarray:
    """(U, 48, 48) → (48, 48, U): predictions follow one another along a picture, but not across
    pictures, so all pictures take each step at once."""
    return np.ascontiguousarray(pictures.transpose(1, 2, 0))


def _prediction(pixels: np.ndarray, row: int, column: int) -> np.ndarray:
    """Median edge detector: the median of left, above and left + above - corner; (U,) uint8."""
    if row == 0 and column == 0:
        return np.zeros(pixels.shape[2], np.uint8)
    if row == 0:
        return pixels[row, column - 1]
    if column == 0:
        return pixels[row - 1, column]
    left, above = pixels[row, column - 1], pixels[row - 1, column]
    low, high = np.minimum(left, above), np.maximum(left, above)
    plane = left.astype(np.int16) + above - pixels[row - 1, column - 1]
    return np.clip(plane, low, high, out=plane).astype(np.uint8)
