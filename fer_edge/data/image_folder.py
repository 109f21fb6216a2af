"""Folders of pictures: ``<split>/<label>/*.jpg``, or ``<label>/*.jpg`` without splits."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from fer_edge.archives import Entry
from fer_edge.data.dataset import Dataset
from fer_edge.data.images import MAX_BYTES, SUFFIXES, decode_face
from fer_edge.data.rejects import Rejects
from fer_edge.data.splits import UNSPLIT, split_name
from fer_edge.errors import FerEdgeError
from fer_edge.labels import LABELS, label_index


def is_picture(entry: Entry) -> bool:
    """Whether a file's name says that it is a picture."""
    return entry.basename.endswith(SUFFIXES)


def read_pictures(
    entries: Sequence[Entry],
    name: str,
    rejects: Rejects,
    labels: tuple[str, ...] = LABELS,
    subject_of: Callable[[str], str] | None = None,
) -> Dataset:
    """Read labelled pictures, ordered by path with numbers in counting order.

    The folder that a picture lies in is its label. Its split comes from its own name where it has
    FER2013's (``PrivateTest_10131219.jpg``), else from the nearest folder above that is named like
    a split, else from the folder above the label where there are several such, else it is "all".

    Args:
        entries: the pictures (see ``is_picture``) of a folder or archive.
        name: the dataset's name.
        rejects: what to do with pictures that cannot be read and folders that are no label.
        labels: the dataset's, in index order.
        subject_of: who is in the picture of a file's name, where the names say so.

    Raises:
        FerEdgeError: no usable picture, or a bad one that is not to be skipped.
    """
    pictures = [_place(entry, labels) for entry in entries]
    _refuse_unknown_labels(pictures, labels, rejects)
    pictures = [picture for picture in pictures if picture.target is not None]
    several = len({picture.group for picture in pictures}) > 1
    faces, names, files, targets, splits = [], [], [], [], []
    for picture in pictures:  # in the source's order: going back in a packed tar costs a restart
        try:
            faces.append(_read_face(picture.entry))
        except ValueError as reason:
            rejects.add(picture.entry.where, str(reason), "--skip-bad leaves such pictures out")
            continue
        names.append(_counting_order(picture.entry.name))
        files.append(PurePosixPath(picture.entry.name).name)
        targets.append(picture.target)
        splits.append(picture.split or (picture.group if several else None) or UNSPLIT)
    if not faces:
        raise FerEdgeError(
            f"{name} holds no picture in a folder named after an expression",
            f"expected <split>/<label>/*.jpg with the labels {', '.join(labels)}",
        )
    order = sorted(range(len(names)), key=names.__getitem__)
    everything = Dataset(
        name,
        labels,
        np.stack(faces),
        np.array(targets, np.uint8),
        np.array(splits),
        subjects=None if subject_of is None else np.array([*map(subject_of, files)]),
    )
    return everything.subset(np.array(order))


@dataclass(frozen=True)
class _Picture:
    """Where a picture stands: its label's folder and the folder above that."""

    entry: Entry
    folder: str
    group: str
    target: int | None
    split: str | None


def _place(entry: Entry, labels: tuple[str, ...]) -> _Picture:
    *above, file = PurePosixPath(entry.name).parts
    folder = above.pop() if above else ""
    known = [split_name(file.split("_")[0]) if "_" in file else None]
    known += [split_name(part) for part in reversed(above)]
    split = next((name for name in known if name), None)
    return _Picture(entry, folder, above[-1] if above else "", label_index(folder, labels), split)


def _refuse_unknown_labels(
    pictures: Sequence[_Picture], labels: tuple[str, ...], rejects: Rejects
) -> None:
    strangers: dict[str, list[_Picture]] = {}
    for picture in pictures:
        if picture.target is None:
            strangers.setdefault(picture.folder, []).append(picture)
    hint = (
        f"labels are {', '.join(labels)}; others can be listed in labels.txt beside the folders, "
        "and --skip-bad leaves them out"
    )
    for folder, lost in strangers.items():
        reason = f"'{folder}' is no known label" if folder else "not in a label's folder"
        number = f" ({len(lost):,} such pictures)" if len(lost) > 1 and not rejects.skip else ""
        for picture in lost:
            rejects.add(picture.entry.where, reason + number, hint)


def _counting_order(name: str) -> list[tuple[int, str]]:
    return [
        (int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", name)
    ]


def _read_face(entry: Entry) -> np.ndarray:
    with entry.open() as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"over {MAX_BYTES >> 20} MiB")
    return decode_face(data)
