"""FER2013's CSV, in the forms that Kaggle hands out.

``fer2013.csv`` has the columns ``emotion,pixels,Usage``; ``icml_face_data.csv`` has the same with
odd spaces (``emotion, Usage, pixels``); ``train.csv`` has ``emotion,pixels``; ``test.csv`` often
has ``pixels`` alone. Columns are found by name, in any order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from fer_edge.data.dataset import Dataset
from fer_edge.data.rejects import Rejects
from fer_edge.data.splits import TEST, TRAINING, VALIDATION, split_name
from fer_edge.errors import FerEdgeError
from fer_edge.face import FACE_SIZE
from fer_edge.labels import LABELS, label_index

PIXELS = FACE_SIZE * FACE_SIZE

SIZES = {TRAINING: 28_709, VALIDATION: 3_589, TEST: 3_589}
"""Faces of each split, in every copy of the whole set."""

_LONGEST_ROW = 1 << 16
"""Bytes; a row of 2,304 three-digit pixels has 9,216, and a file without line ends has no rows."""

_CLASS_NUMBERS = {str(number).encode(): number for number in range(len(LABELS))}


def read_fer2013(
    stream: BinaryIO, where: str, name: str, rejects: Rejects, split: str | None = None
) -> Dataset:
    """Read one CSV of faces.

    Args:
        stream: the CSV's bytes, read once from where it stands.
        where: what to call the file in messages.
        name: the dataset's name.
        rejects: what to do with bad rows.
        split: the split of every row where the file has no Usage column.

    Raises:
        FerEdgeError: not such a CSV, no labels, no rows, or a bad row that is not to be skipped.
    """
    columns = _read_header(stream, where)
    if columns.emotion is None:
        raise FerEdgeError(
            f"{where} has no column 'emotion', so its faces have no labels",
            "use icml_face_data.csv or fer2013.csv, which hold the same faces with labels",
        )
    if columns.usage is None and split is None:
        raise FerEdgeError(
            f"{where} has no column 'Usage', so the split of its rows is unknown",
            "name the file train.csv or test.csv, or add the column",
        )
    pixels = bytearray()
    targets = bytearray()
    splits: list[str] = []
    for row, line in _rows(stream, where):
        try:
            target, face, usage = _parse_row(line, columns)
        except ValueError as reason:
            cut = "" if line.endswith(b"\n") else " (the last row, without a line end: truncated?)"
            rejects.add(f"{where}, row {row}", f"{reason}{cut}")
            continue
        pixels += face.tobytes()
        targets.append(target)
        splits.append(usage or split or "")
    if not targets:
        raise FerEdgeError(f"{where} holds no faces, only a header", "is the download complete?")
    return Dataset(
        name=name,
        labels=LABELS,
        faces=np.frombuffer(pixels, np.uint8).reshape(-1, FACE_SIZE, FACE_SIZE),
        targets=np.frombuffer(targets, np.uint8),
        splits=np.array(splits),
    )


def has_labels(stream: BinaryIO, where: str) -> bool:
    """Whether a CSV of faces has the column ``emotion``; reads its header only."""
    return _read_header(stream, where).emotion is not None


@dataclass(frozen=True)
class _Columns:
    """Positions in a row; None where the file lacks the column."""

    count: int
    pixels: int
    emotion: int | None
    usage: int | None


def _read_header(stream: BinaryIO, where: str) -> _Columns:
    line = stream.readline(_LONGEST_ROW)
    if not line:
        raise FerEdgeError(f"{where} is empty", "is the download complete?")
    hint = "a CSV with the columns emotion, pixels and Usage was expected"
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise FerEdgeError(f"{where} is not a CSV: its first line is not text", hint)
    names = [name.strip().strip('"').strip().lower() for name in text.split(",")]
    found = {name: position for position, name in enumerate(names)}
    if "pixels" not in found:
        shown = text.strip()[:60]
        raise FerEdgeError(f"{where} has no column 'pixels'; it begins with '{shown}'", hint)
    return _Columns(len(names), found["pixels"], found.get("emotion"), found.get("usage"))


def _rows(stream: BinaryIO, where: str) -> Iterator[tuple[int, bytes]]:
    """Rows that are not blank, with their numbers; the header is row 1."""
    row = 1
    try:
        while line := stream.readline(_LONGEST_ROW):
            row += 1
            if len(line) == _LONGEST_ROW:
                raise FerEdgeError(
                    f"{where}, row {row}: longer than {_LONGEST_ROW} bytes",
                    "a row holds 48×48 pixels; is this a CSV of faces?",
                )
            if line.strip():
                yield row, line
    except FerEdgeError as error:
        # an archive that breaks off knows nothing of rows; whoever mends it wants to know
        if "row" in error.message:
            raise
        raise FerEdgeError(f"{error.message} (after row {row})", error.hint) from error


def _parse_row(line: bytes, columns: _Columns) -> tuple[int, np.ndarray, str | None]:
    """Class number, (2304,) pixels and split; ValueError says what is wrong."""
    fields = line.split(b",")
    if len(fields) != columns.count:
        raise ValueError(f"{len(fields)} columns instead of {columns.count}")
    assert columns.emotion is not None
    emotion = fields[columns.emotion].strip(b' \t\r\n"')
    target = _CLASS_NUMBERS.get(emotion)
    if target is None:
        target = label_index(emotion.decode("utf-8", "replace"))
    if target is None:
        raise ValueError(f"unknown label '{emotion[:20].decode('utf-8', 'replace')}'")
    usage = None
    if columns.usage is not None:
        word = fields[columns.usage].strip(b' \t\r\n"').decode("utf-8", "replace")
        usage = split_name(word)
        if usage is None:
            raise ValueError(f"unknown split '{word[:20]}'")
    return target, _parse_pixels(fields[columns.pixels].strip(b' \t\r\n"')), usage


def _parse_pixels(text: bytes) -> np.ndarray:
    # only digits and blanks may reach np.fromstring: it stops at anything else without an error
    if text.translate(None, b"0123456789 "):
        _refuse_word(text)
    # int64 saturates where uint8 would wrap around in silence
    values = np.fromstring(text.decode("ascii"), dtype=np.int64, sep=" ")
    if len(values) != PIXELS:
        raise ValueError(f"{len(values)} pixels instead of {PIXELS}")
    if values.max() > 255:
        first = int(np.argmax(values > 255))
        raise ValueError(f"pixel {first + 1} is {values[first]}, over 255")
    return values.astype(np.uint8)


def _refuse_word(text: bytes) -> None:
    for position, word in enumerate(text.split(), start=1):
        if not word.isdigit():
            shown = word[:20].decode("utf-8", "replace")
            if word[:1] == b"-" and word[1:].isdigit():
                raise ValueError(f"pixel {position} is {shown}, below 0")
            raise ValueError(f"pixel {position} is '{shown}', not a whole number")
    raise ValueError("pixels are separated by something else than spaces")
