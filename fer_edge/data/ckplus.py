"""CK+48: the 981 faces of CK+ at 48×48, in folders named after seven expressions.

Lucey et al. 2010, "The Extended Cohn-Kanade Dataset (CK+)". Its seven have contempt and lack
neutral. A file's name holds subject, sequence and frame, ``S010_004_00000017.png``; three frames a
sequence, so that a split by image has almost the same picture on both sides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from fer_edge.archives import Entry
from fer_edge.data.dataset import Dataset
from fer_edge.data.image_folder import read_pictures
from fer_edge.data.rejects import Rejects
from fer_edge.labels import CKPLUS_LABELS, label_index

NAME = "ck+48"

_FILE = re.compile(r"(S\d{3})_\d{3}_\d{8}\.\w+", re.IGNORECASE)


def is_ckplus(pictures: Sequence[Entry]) -> bool:
    """Whether all pictures are called as CK+ calls its frames, and folders as it calls labels.

    In folders that are all called otherwise its pictures have labels of one's own.
    """
    places = [PurePosixPath(entry.name) for entry in pictures]
    labelled = any(label_index(place.parent.name, CKPLUS_LABELS) is not None for place in places)
    return labelled and all(_FILE.fullmatch(place.name) for place in places)


def read_ckplus(entries: Sequence[Entry], path: Path, rejects: Rejects) -> Dataset:
    """Read CK+48 with its own label list and its subjects.

    Raises:
        FerEdgeError: as ``read_pictures``.
    """
    return read_pictures(entries, path, rejects, CKPLUS_LABELS, name=NAME, subject_of=_subject)


def _subject(file: str) -> str:
    match = _FILE.fullmatch(file)
    assert match is not None
    return match[1].upper()
