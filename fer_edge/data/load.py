"""The one way in: whatever holds labelled faces becomes a Dataset."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path, PurePosixPath

import numpy as np

from fer_edge.archives import Entry, open_source
from fer_edge.data.ckplus import is_ckplus, read_ckplus
from fer_edge.data.dataset import Dataset, name_of
from fer_edge.data.fer2013 import has_labels, read_fer2013
from fer_edge.data.ferplus import MOST_VOTES, join_votes
from fer_edge.data.image_folder import read_pictures
from fer_edge.data.own_labels import LABELS_FILE, folder_labels, listed_labels
from fer_edge.data.packed import is_packed, read_packed
from fer_edge.data.rejects import Rejects, log
from fer_edge.data.splits import TEST, TRAINING
from fer_edge.data.synthetic import synthetic_faces
from fer_edge.errors import FerEdgeError
from fer_edge.files import is_picture
from fer_edge.labels import LABELS

SYNTHETIC = "synthetic"
"""Stands for a path and names the built-in set."""

_WHOLE = ("fer2013.csv", "icml_face_data.csv")
"""CSVs that hold all of FER2013; of several, the first in this order is read."""

_HALVES = {"train.csv": TRAINING, "test.csv": TEST}

_VOTES = "fer2013new.csv"

_EXPECTED = (
    "expected fer2013.csv, icml_face_data.csv, train.csv and test.csv, "
    "pictures as <split>/<label>/*.jpg, or a packed dataset"
)


def load_dataset(
    path: str | Path,
    *,
    skip_bad: bool = False,
    votes: str | Path | None = None,
    own_labels: bool = False,
    model_labels: Sequence[str] = (),
) -> Dataset:
    """Read labelled faces, whatever they come in.

    Args:
        path: a file, archive (.gz, .zip, .tar, .tar.gz) or folder that holds ``fer2013.csv``,
            ``icml_face_data.csv``, ``train.csv``/``test.csv``, CK+48, or pictures in folders named
            after their labels; a packed dataset; or "synthetic", which names the built-in set.
        skip_bad: leave bad rows and pictures out instead of refusing them. They are counted in a
            warning and listed in ``Dataset.skipped``.
        votes: FER+'s ``fer2013new.csv``, or a folder or archive that it lies in, to be joined row
            by row. Not needed where it lies in the same folder or archive as FER2013's CSV, or
            beside that archive.
        own_labels: where pictures lie in folders that are not all named after known labels, and no
            labels.txt lists others, take the folders' names for the labels; see ``folder_labels``.
        model_labels: of a model that has them already: with ``skip_bad`` they are the labels there,
            and folders of other names are left out.

    Raises:
        FerEdgeError: nothing there that is recognised, or something bad in it; the message names
            the file, the row and the reason.
    """
    if str(path) == SYNTHETIC:
        return synthetic_faces()
    path = Path(path)
    rejects = Rejects(skip_bad)
    with open_source(path, complete=_WHOLE.__contains__) as entries:
        # before the faces, where they stand before them: going back in a packed tar costs a restart
        near = None if votes is not None else _votes_of(entries)
        dataset = _read(path, entries, rejects, own_labels, tuple(model_labels))
        dataset = replace(dataset, skipped=rejects.report())
        if votes is None and dataset.name == "fer2013" and not is_packed(entries):
            near = near or _votes_of(entries.look_on()) or _votes_beside(path, entries)
            return dataset if near is None else _join(dataset, near)
    return dataset if votes is None else _join(dataset, _votes_named(Path(votes)))


@dataclass(frozen=True)
class _Votes:
    """The bytes of FER+'s CSV, and what to call it in messages."""

    content: bytes
    where: str


def _votes_of(entries: Iterable[Entry]) -> _Votes | None:
    """Those of the first file with FER+'s name, read at once."""
    for entry in entries:
        if entry.basename == _VOTES:
            with entry.open() as stream:
                return _Votes(stream.read(MOST_VOTES), entry.where)
    return None


def _votes_beside(path: Path, entries: Sequence[Entry]) -> _Votes | None:
    """Those in the folder of a file that holds all of FER2013."""
    if path.is_dir() or not any(entry.basename in _WHOLE for entry in entries):
        return None
    beside = path.with_name(_VOTES)
    return _votes_named(beside) if beside.is_file() else None


def _votes_named(path: Path) -> _Votes:
    """Those that ``path`` is, whatever it is called, or holds under FER+'s name."""
    with open_source(path, complete=_VOTES.__eq__) as entries:
        if found := _votes_of(entries):
            return found
        if len(entries) != 1 or path.is_dir():
            raise FerEdgeError(
                f"{path} holds no {_VOTES}: {_shown(entries)}",
                f"name FER+'s {_VOTES}, or a folder or archive that it lies in",
            )
        with entries[0].open() as stream:
            return _Votes(stream.read(MOST_VOTES), entries[0].where)


def _read(
    path: Path,
    entries: list[Entry],
    rejects: Rejects,
    own_labels: bool,
    model_labels: tuple[str, ...],
) -> Dataset:
    name = name_of(path)
    if is_packed(entries):
        return read_packed(entries, path.name)
    by_name = {entry.basename: entry for entry in reversed(entries)}
    for whole in _WHOLE:
        if whole in by_name:
            return _read_csv(by_name[whole], "fer2013", rejects)
    if any(half in by_name for half in _HALVES):
        return _read_halves([by_name[half] for half in _HALVES if half in by_name], rejects)
    if len(entries) == 1 and entries[0].basename == _VOTES:
        raise FerEdgeError(
            f"{path} holds FER+'s votes but no faces",
            "put it into one folder with fer2013.csv and name the folder",
        )
    if len(entries) == 1 and (path.is_file() or entries[0].basename.endswith(".csv")):
        return _read_csv(entries[0], name, rejects)
    pictures = [entry for entry in entries if is_picture(entry.name)]
    if not pictures:
        raise FerEdgeError(f"{path} holds no faces: {_shown(entries)}", _EXPECTED)
    if LABELS_FILE not in by_name and is_ckplus(pictures):
        return read_ckplus(entries, path, rejects)
    labels = LABELS
    if LABELS_FILE in by_name:
        labels = listed_labels(by_name[LABELS_FILE])
    elif model_labels and rejects.skip:
        labels = model_labels
    elif own_labels:
        folders = (PurePosixPath(entry.name).parent.name for entry in pictures)
        labels = folder_labels(folders, str(path))
    return read_pictures(entries, path, rejects, labels)


def _shown(entries: list[Entry]) -> str:
    if not entries:
        return "it is empty"
    return f"{len(entries)} other files, such as {entries[0].name}"


def _read_csv(entry: Entry, name: str, rejects: Rejects, split: str | None = None) -> Dataset:
    with entry.open() as stream:
        return read_fer2013(stream, entry.where, name, rejects, split)


def _read_halves(halves: list[Entry], rejects: Rejects) -> Dataset:
    """train.csv and test.csv together; Kaggle's test.csv without labels is left out."""
    parts = []
    for entry in halves:
        if len(halves) > 1:
            with entry.open() as stream:
                labelled = has_labels(stream, entry.where)
            if not labelled:
                log.warning("%s has no column 'emotion': its faces are left out", entry.where)
                continue
        parts.append(_read_csv(entry, "fer2013", rejects, _HALVES[entry.basename]))
    if not parts:
        raise FerEdgeError(f"{halves[0].where} has no labels, nor has the other", _EXPECTED)
    return replace(
        parts[0],
        faces=np.concatenate([part.faces for part in parts]),
        targets=np.concatenate([part.targets for part in parts]),
        splits=np.concatenate([part.splits for part in parts]),
    )


def _join(dataset: Dataset, votes: _Votes) -> Dataset:
    if dataset.skipped:
        raise FerEdgeError(
            f"{votes.where} cannot be joined: {len(dataset.skipped)} rows were skipped",
            "votes are joined by row, so none may be missing",
        )
    return join_votes(dataset, BytesIO(votes.content), votes.where)
