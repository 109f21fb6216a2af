"""Names of expressions: FER2013's seven in its order, CK+'s seven, and everybody's spellings."""

from __future__ import annotations

import unicodedata

LABELS: tuple[str, ...] = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""Index i is FER2013's class number i."""

CKPLUS_LABELS: tuple[str, ...] = (
    "angry",
    "contempt",
    "disgust",
    "fear",
    "happy",
    "sad",
    "surprise",
)
"""CK+'s seven, with contempt and without neutral, in the alphabetical order of its folders."""

SPELLINGS: dict[str, str] = {
    "anger": "angry",
    "disgusted": "disgust",
    "fearful": "fear",
    "afraid": "fear",
    "happiness": "happy",
    "joy": "happy",
    "sadness": "sad",
    "surprised": "surprise",
    "neutrality": "neutral",
    "calm": "neutral",
}
"""What other datasets and image folders call the same expressions."""


def plain(spelling: str) -> str:
    """A label as it is compared: lower case, without blanks around it, and composed (NFC).

    macOS names a folder with an accent as a letter and a sign, editors write the one letter.
    """
    return unicodedata.normalize("NFC", spelling.strip().lower())


def label_index(spelling: str, labels: tuple[str, ...] = LABELS) -> int | None:
    """Index into ``labels`` of a label in any usual spelling, case ignored; None if not in there.

    >>> label_index("Happiness"), label_index("contempt"), label_index("contempt", CKPLUS_LABELS)
    (3, None, 1)
    """
    word = plain(spelling)
    if word not in labels:
        word = SPELLINGS.get(word, word)
    return labels.index(word) if word in labels else None
