"""The seven expressions in FER2013's order; every model, bundle and event speaks in these."""

from __future__ import annotations

LABELS: tuple[str, ...] = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""Index i is FER2013's class number i."""

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
"""What other datasets and image folders call the same seven."""


def label_index(spelling: str) -> int | None:
    """Index into LABELS of a label in any usual spelling, case ignored; None if nobody knows it.

    >>> label_index("Happiness"), label_index("contempt")
    (3, None)
    """
    word = spelling.strip().lower()
    word = SPELLINGS.get(word, word)
    return LABELS.index(word) if word in LABELS else None
