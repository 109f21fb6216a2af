"""The one way in: whatever holds labelled faces becomes a Dataset."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from fer_edge.data.dataset import Dataset
from fer_edge.data.fer2013 import has_labels, read_fer2013
from fer_edge.data.rejects import Rejects, log
from fer_edge.data.sources import Entry, open_source
from fer_edge.data.splits import TEST, TRAINING
from fer_edge.errors import FerEdgeError

_WHOLE = ("fer2013.csv", "icml_face_data.csv")
"""CSVs that hold all of FER2013; of several, the first in this order is read."""

_HALVES = {"train.csv": TRAINING, "test.csv": TEST}


def load_dataset(path: str | Path, *, skip_bad: bool = False) -> Dataset:
    """Read labelled faces, whatever they come in.

    Args:
        path: ``fer2013.csv``, ``icml_face_data.csv``, ``train.csv``/``test.csv``, plain or inside
            a .gz, .zip or .tar.gz, or a folder that holds such.
        skip_bad: leave bad rows out instead of refusing them. They are counted in a warning and
            listed in ``Dataset.skipped``.

    Raises:
        FerEdgeError: nothing there that is recognised, or something bad in it; the message names
            the file, the row and the reason.
    """
    path = Path(path)
    rejects = Rejects(skip_bad)
    with open_source(path, complete=_WHOLE.__contains__) as entries:
        dataset = _read(path, entries, rejects)
    return replace(dataset, skipped=rejects.report())


def _read(path: Path, entries: list[Entry], rejects: Rejects) -> Dataset:
    by_name = {entry.basename: entry for entry in reversed(entries)}
    for name in _WHOLE:
        if name in by_name:
            return _read_csv(by_name[name], "fer2013", rejects)
    halves = [by_name[name] for name in _HALVES if name in by_name]
    if halves:
        return _read_halves(halves, rejects)
    if len(entries) == 1:
        return _read_csv(entries[0], path.name.split(".")[0], rejects)
    raise FerEdgeError(f"{path} holds no faces that are recognised", "see docs/datasets.md")


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
    return replace(
        parts[0],
        faces=np.concatenate([part.faces for part in parts]),
        targets=np.concatenate([part.targets for part in parts]),
        splits=np.concatenate([part.splits for part in parts]),
    )
