"""Folders of pictures: ``<split>/<label>/*.jpg``, or ``<label>/*.jpg`` without splits."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from fer_edge.archives import Entry
from fer_edge.data.dataset import Dataset, name_of
from fer_edge.data.images import MAX_BYTES, OblongError, as_face, read_gray
from fer_edge.data.own_labels import LABELS_FILE, meant, refuse_unwritable
from fer_edge.data.photographs import Photographs, crop_command
from fer_edge.data.rejects import Rejects, log
from fer_edge.data.splits import FER2013_SPLITS, UNSPLIT, split_name
from fer_edge.errors import FerEdgeError
from fer_edge.face import Pixels
from fer_edge.files import PICTURES, is_picture
from fer_edge.labels import LABELS, label_index


def read_pictures(
    entries: Sequence[Entry],
    path: Path,
    rejects: Rejects,
    labels: tuple[str, ...] = LABELS,
    *,
    name: str | None = None,
    subject_of: Callable[[str], str] | None = None,
) -> Dataset:
    """Read labelled pictures, ordered by path with numbers in counting order.

    The folder that a picture lies in is its label. Its split comes from its own name where it has
    FER2013's (``PrivateTest_10131219.jpg``), else from the nearest folder above that is named like
    a split, else from its own name where all that are left begin like one (``train_00001.jpg``; one
    alone may be of somebody called Val), else from the folder above the label where there are
    several such, else it is "all".

    Pictures that look like photographs, and files that are no pictures, are told in warnings.

    Args:
        entries: the files of a folder or archive.
        path: which that is.
        rejects: what to do with pictures that cannot be read and folders that are no label.
        labels: the dataset's, in index order.
        name: the dataset's; None takes the path's.
        subject_of: who is in the picture of a file's name, where the names say so.

    Raises:
        FerEdgeError: no usable picture, a bad one that is not to be skipped, or a split whose name
            is no text, or has control characters.
    """
    name = name or name_of(path)
    pictures = [_place(entry, labels) for entry in entries if is_picture(entry.name)]
    tell_of_others(_others(entries, labels))
    _refuse_unknown_labels(pictures, labels, rejects, path)
    pictures = [picture for picture in pictures if picture.target is not None]
    several = len({picture.group for picture in pictures}) > 1
    prefixed = all(picture.split or picture.prefix for picture in pictures)
    faces, names, files, targets, splits = [], [], [], [], []
    photographs = Photographs()
    for picture in pictures:  # in the source's order: going back in a packed tar costs a restart
        try:
            gray = _read_gray(picture.entry)
        except ValueError as reason:
            hint = "--skip-bad leaves such pictures out"
            if isinstance(reason, OblongError):
                hint = f"cut the faces out with: {crop_command(path)}"
            rejects.add(picture.entry.where, str(reason), hint)
            continue
        faces.append(as_face(gray))
        photographs.add(gray)
        names.append(_counting_order(picture.entry.name))
        files.append(PurePosixPath(picture.entry.name).name)
        targets.append(picture.target)
        split = picture.split or (picture.prefix if prefixed else None)
        splits.append(split or (picture.group if several else None) or UNSPLIT)
        refuse_unwritable(splits[-1], f"{path}: the name of the folder")
    if not faces:
        raise FerEdgeError(
            f"{name} holds no picture in a folder named after an expression",
            f"expected <split>/<label>/*.jpg with the labels {', '.join(labels)}",
        )
    photographs.warn(path)
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
    """Where a picture stands.

    Attributes:
        entry: the file.
        folder: its label's.
        group: the folder above that.
        target: the label's index; None if it is none.
        split: what FER2013's file name or a folder says.
        prefix: the split that its own name begins like.
    """

    entry: Entry
    folder: str
    group: str
    target: int | None
    split: str | None
    prefix: str | None


def _place(entry: Entry, labels: tuple[str, ...]) -> _Picture:
    *above, file = PurePosixPath(entry.name).parts
    folder = above.pop() if above else ""
    prefix = file.split("_")[0] if "_" in file else ""
    # other datasets' file names tell where a picture stood there, which a folder here may overrule
    known = [prefix if prefix in FER2013_SPLITS else None, *map(split_name, reversed(above))]
    split = next((name for name in known if name), None)
    group = above[-1] if above else ""
    return _Picture(entry, folder, group, label_index(folder, labels), split, split_name(prefix))


def tell_of_others(others: Sequence[Entry]) -> None:
    """Warn of files whose names are no picture's, if there are any; a labels.txt does not count."""
    others = [entry for entry in others if entry.basename != LABELS_FILE]
    if others:
        log.warning(
            "%s left out, such as %s: pictures end in %s",
            "1 other file was" if len(others) == 1 else f"{len(others):,} other files were",
            others[0].where,
            ", ".join(PICTURES),
        )


def _others(entries: Sequence[Entry], labels: tuple[str, ...]) -> list[Entry]:
    """Files in labels' folders, and in those beside them, whose names are no picture's."""
    folders = {PurePosixPath(entry.name).parent for entry in entries if is_picture(entry.name)}
    places = {folder.parent for folder in folders if folder.name}
    others = []
    for entry in entries:
        folder = PurePosixPath(entry.name).parent
        is_label = folder.parent in places or label_index(folder.name, labels) is not None
        hidden = entry.basename.startswith(".")
        if folder.name and is_label and not hidden and not is_picture(entry.name):
            others.append(entry)
    return others


def _refuse_unknown_labels(
    pictures: Sequence[_Picture], labels: tuple[str, ...], rejects: Rejects, path: Path
) -> None:
    strangers: dict[str, list[_Picture]] = {}
    for picture in pictures:
        if picture.target is None:
            strangers.setdefault(picture.folder, []).append(picture)
    some = any(picture.target is not None for picture in pictures)
    for folder, lost in strangers.items():
        named = folder and split_name(folder) is None
        reason = f"'{folder}' is no known label" if named else "not in a label's folder"
        number = f" ({len(lost):,} such pictures)" if len(lost) > 1 and not rejects.skip else ""
        hint = (
            _hint(folder, labels, path, some)
            if named
            else "put it into a folder named after its label"
        )
        for picture in lost:
            rejects.add(picture.entry.where, reason + number, hint)


def _hint(folder: str, labels: tuple[str, ...], path: Path, some: bool) -> str:
    """What to do about a folder that is no label; ``some``: others are."""
    if question := meant(folder, labels):
        return (
            f"{question} if not, list all labels in {LABELS_FILE} beside the folders, a line each"
        )
    if labels != LABELS:
        return f"labels are {', '.join(labels)}; --skip-bad leaves others out"
    command = f"fer-edge train --from edge-small --data {shlex.quote(str(path))}"
    if some:
        return f"--skip-bad leaves such folders out; to learn labels of your own: {command}"
    return f"a network learns labels of your own by: {command}"


def _counting_order(name: str) -> list[tuple[int, str]]:
    return [
        (int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", name)
    ]


def _read_gray(entry: Entry) -> Pixels:
    with entry.open() as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"over {MAX_BYTES >> 20} MiB")
    return read_gray(data)
