"""The names of splits: FER2013's, and what others call the same three."""

from __future__ import annotations

TRAINING = "Training"
VALIDATION = "PublicTest"
TEST = "PrivateTest"
FER2013_SPLITS = (TRAINING, VALIDATION, TEST)
UNSPLIT = "all"
"""The one split of a dataset that comes without any."""

_SPELLINGS = {
    "training": TRAINING,
    "train": TRAINING,
    "publictest": VALIDATION,
    "validation": VALIDATION,
    "valid": VALIDATION,
    "val": VALIDATION,
    "dev": VALIDATION,
    "privatetest": TEST,
    "test": TEST,
    "testing": TEST,
}


def split_name(spelling: str) -> str | None:
    """FER2013's name for a split in any usual spelling, case ignored; None if nobody knows it.

    >>> split_name("train"), split_name("val"), split_name("holiday")
    ('Training', 'PublicTest', None)
    """
    return _SPELLINGS.get(spelling.strip().lower())
