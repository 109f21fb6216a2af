"""Labels of one's own: listed in labels.txt, or the names of the folders that pictures lie in."""

from __future__ import annotations

from collections.abc import Iterable

from fer_edge.archives import Entry
from fer_edge.data.rejects import log
from fer_edge.data.splits import split_name
from fer_edge.errors import FerEdgeError, nearest
from fer_edge.labels import LABELS, SPELLINGS, label_index, plain
from fer_edge.printable import has_controls, printable

LABELS_FILE = "labels.txt"
"""Beside folders of pictures: labels of one's own, a line each, in index order."""

MOST_LABELS = 100
LONGEST_LABEL = 64
"""In characters: tables and a bundle's manifest have to hold it."""
MOST_BYTES = 100_000
"""Of a labels.txt; what lies behind is not read."""

ALIKE = 0.75
"""From this likeness on (``difflib``'s ratio) a folder's name is a known label misspelt: ``hapy``,
``suprise`` and ``nuetral`` are, ``bored`` and ``hungry`` are not."""


def listed_labels(entry: Entry) -> tuple[str, ...]:
    """Those that a labels.txt lists, in its order and lower case.

    Raises:
        FerEdgeError: it is not text, lists one twice, fewer than two or too many, a long one, or
            one with control characters.
    """
    try:
        with entry.open() as stream:
            lines = stream.read(MOST_BYTES).decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise FerEdgeError(f"{entry.where} is not text", "write a label a line") from error
    labels = [plain(line) for line in lines if line.strip()]
    if not 2 <= len(labels) <= MOST_LABELS or len(set(labels)) < len(labels):
        raise FerEdgeError(
            f"{entry.where} has {len(labels)} labels, {len(set(labels))} of them different",
            f"write from 2 to {MOST_LABELS}, each once, a line each",
        )
    _refuse_long(labels, entry.where)
    for label in labels:
        refuse_unwritable(label, f"{entry.where}: the label")
    return tuple(labels)


def folder_labels(folders: Iterable[str], where: str) -> tuple[str, ...]:
    """The known labels where all folders are called like those, else the folders' names, sorted.

    Where a name is a known one misspelt, it is the known labels too, so that it will be refused.
    What is taken from the folders is said in a warning.

    Args:
        folders: that pictures lie in; "" where one lies in none, and names of splits do not count.
        where: to call the dataset in messages.

    Raises:
        FerEdgeError: too many different ones, a long one, one whose bytes are no UTF-8, or one with
            control characters.
    """
    names = {plain(name) for name in folders if name and split_name(name) is None}
    own = {name for name in names if label_index(name) is None}
    if not own or any(meant(name) for name in own):
        return LABELS
    if len(names) > MOST_LABELS:
        raise FerEdgeError(
            f"{where} has pictures in {len(names)} folders of different names, too many for labels",
            f"a picture's label is the folder that it lies in; at most {MOST_LABELS} may differ",
        )
    _refuse_long(names, where)
    for name in sorted(names):
        refuse_unwritable(name, f"{where}: the name of the folder")
    log.warning("%s: its labels are its folders' names: %s", where, ", ".join(sorted(names)))
    return tuple(sorted(names))


def refuse_unwritable(name: str, what: str) -> None:
    """FerEdgeError unless a label or split is text that a bundle's manifest can hold.

    Args:
        name: as the source has it.
        what: to call it in the message, before the name.
    """
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise FerEdgeError(f"{what} '{name}' is not UTF-8", "rename it") from error
    if has_controls(name):
        raise FerEdgeError(f"{what} '{printable(name)}' has control characters", "rename it")


def _refuse_long(labels: Iterable[str], where: str) -> None:
    for label in labels:
        if len(label) > LONGEST_LABEL:
            raise FerEdgeError(
                f"{where}: the label '{label[:20]}…' has {len(label)} characters",
                f"call it something of {LONGEST_LABEL} or fewer",
            )


def meant(folder: str, labels: tuple[str, ...] = LABELS) -> str:
    """``did you mean 'happy'?`` where a folder's name is nearly a label's; else empty."""
    known = {*labels, *(word for word, label in SPELLINGS.items() if label in labels)}
    return nearest(plain(folder), sorted(known), ALIKE)
