"""From which probability on an int8 model is to be believed: what a device calls uncertain."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fer_edge.evaluation.classifier import leaked_mask
from fer_edge.export.judging.measure import HeldOut
from fer_edge.export.source import Source
from fer_edge.runtime.many import classify_many

PRECISION = 0.9
"""Share of the named expressions that is to be right."""
LEAST = 50
"""Images that have to be named; the precision of fewer says little."""


@dataclass(frozen=True)
class Share:
    """What a threshold does to some images.

    Attributes:
        splits: whose images.
        images: how many.
        named: share of them that reaches the threshold.
        precision: share of the named ones that is named rightly.
    """

    splits: tuple[str, ...]
    images: int
    named: float
    precision: float


@dataclass(frozen=True)
class Certainty:
    """The probability under which an expression is called uncertain.

    Attributes:
        threshold: chosen on the validation splits, without copies of training and test images.
        aim: the precision that it was chosen for.
        chosen: what it does there.
        held_out: and on the test splits, which had no say, without copies of training images if
            some are left; None where it names nothing.
    """

    threshold: float
    aim: float
    chosen: Share
    held_out: Share | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def find_certainty(source: Source, held_out: HeldOut, int8: bytes) -> Certainty | None:
    """Choose the threshold on the run's validation splits, by the int8 TFLite's own answers.

    Of these only images that stand neither in the training splits, where every network is surer
    and oftener right, nor in the test splits, which are to have no say.

    Args:
        source: the run.
        held_out: the test splits' images.
        int8: the file that was measured on them.

    Returns:
        None where the run has no validation split, too few of its images are left, or the model
        never gets as precise.
    """
    splits = tuple(source.roles.get("validation") or ())
    if not splits:
        return None
    elsewhere = [*source.roles["train"], *source.roles["test"]]
    validation = source.dataset.select(splits)
    validation = validation.subset(~leaked_mask(source.dataset, elsewhere, splits))
    if len(validation) < LEAST:
        return None
    said = classify_many(int8, validation.faces)
    threshold = choose_threshold(said, validation.targets)
    if threshold is None:
        return None
    chosen = _share(said, validation.targets, threshold, splits)
    assert chosen is not None
    said, targets = held_out.ask(int8)[held_out.own], held_out.dataset.targets[held_out.own]
    tested = _share(said, targets, threshold, held_out.splits)
    return Certainty(threshold, PRECISION, chosen, tested)


def choose_threshold(
    probabilities: np.ndarray, targets: np.ndarray, *, precision: float = PRECISION
) -> float | None:
    """The lowest probability from which on answers are as precise as wanted.

    Args:
        probabilities: (N, classes).
        targets: (N,) class numbers.
        precision: in 0..1.

    Returns:
        One of the answers' own probabilities; None where none will do with ``LEAST`` images.
    """
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    right = (probabilities.argmax(axis=1) == targets)[order].cumsum()
    named = np.arange(1, len(order) + 1)
    # int8 knows 256 probabilities: all images of one are named or none
    last = np.append(np.diff(confidence[order]) != 0, True)
    does = np.flatnonzero(last & (named >= LEAST) & (right >= precision * named))
    return float(confidence[order][does[-1]]) if len(does) else None


def _share(
    probabilities: np.ndarray, targets: np.ndarray, threshold: float, splits: tuple[str, ...]
) -> Share | None:
    named = probabilities.max(axis=1) >= np.float32(threshold)
    if not named.any():
        return None
    right = probabilities.argmax(axis=1) == targets
    return Share(splits, len(targets), float(named.mean()), float(right[named].mean()))
