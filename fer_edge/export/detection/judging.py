"""A detector's int8 file against its float one, on the same frames."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fer_edge.data.detection.held_out_frames import HeldOutFrames
from fer_edge.detection import Size
from fer_edge.detection.evaluating import measure
from fer_edge.detection.measuring import Matches, recall_drop
from fer_edge.detection.network import TFLiteDetector
from fer_edge.evaluation.metrics import Estimate
from fer_edge.export.judging.budget import Budget
from fer_edge.export.judging.gate import Check, Verdict, rise

SCOPE = "held-out frames"


@dataclass(frozen=True)
class Judged:
    """One size of a detector.

    Attributes:
        member: name in the bundle.
        size: columns and rows of its frames.
        int8: the file.
        min_score: from which an int8 detection counts: what keeps to the budget's false positives,
            by the validation frames.
        reference, measured: figures of the float and of the int8 file on the frames that judge.
        verdict: of the gate.
    """

    member: str
    size: Size
    int8: bytes
    min_score: float
    reference: Matches
    measured: Matches
    verdict: Verdict

    def to_dict(self, rate: float) -> dict[str, Any]:
        """JSON-ready figures, at ``rate`` false positives a frame and at the threshold that ships.

        The first is at the threshold that gives these frames so many, so that two detectors can be
        compared; ``at_min_score`` is what a device gets.
        """
        wrong = self.measured.false_positives(self.min_score)
        return {
            "size": list(self.size),
            "bytes": len(self.int8),
            "min_score": self.min_score,
            "float": self.reference.report(rate),
            "int8": self.measured.report(rate),
            "at_min_score": {
                "recall": self.measured.recall(self.min_score).value,
                "false_positives": [None if np.isnan(each) else each for each in wrong],
                **self.measured.by_group(self.min_score),
            },
            "verdict": self.verdict.to_dict(),
        }


def judge_detector(
    member: str,
    exact: bytes,
    int8: bytes,
    validation: HeldOutFrames,
    test: HeldOutFrames,
    budget: Budget,
) -> Judged:
    """Measure both files on frames of their size, and hold the difference against the budget.

    Args:
        member: of the int8 file.
        exact, int8: the files.
        validation: where the threshold is found.
        test: where it is judged.
        budget: its ``detector`` table.

    A float file that finds no face fails: there is nothing that int8 could lose.
    """
    limits = budget.detector
    rate = limits.false_positives_per_frame
    network = TFLiteDetector(int8, member)
    threshold = measure(network, validation.resized(network.size)).safe_threshold(rate)
    frames = test.resized(network.size)
    reference, measured = measure(TFLiteDetector(exact, "float"), frames), measure(network, frames)
    lost = recall_drop(reference, measured, rate)
    name = f"{network.size[0]}×{network.size[1]}"
    points = Estimate(100 * lost.value, 100 * lost.low, 100 * lost.high)
    checks = [
        rise(f"recall drop at {name}", points, limits.recall_drop_points, SCOPE),
        _least(
            f"faces that the float file finds at {name}", float(_found(reference, rate).sum()), 1
        ),
        _least(f"recall at {name}", 100 * _recall(measured, rate), limits.recall_percent),
        rise(
            f"landmark error rise at {name}",
            _exactly(100 * (_landmarks(measured, rate) - _landmarks(reference, rate))),
            limits.landmark_error_rise_points,
            SCOPE,
        ),
        rise(f"kilobytes of {member}", _exactly(len(int8) / 1000), limits.max_kilobytes, SCOPE),
    ]
    return Judged(
        member,
        network.size,
        int8,
        # rounded up: what lies between would let in the false positive that it is to keep out
        math.ceil(threshold * 1e4) / 1e4,
        reference,
        measured,
        Verdict(tuple(checks)),
    )


def _found(matches: Matches, rate: float) -> np.ndarray:
    """Which faces are found, (F,) bool."""
    return matches.scores >= matches.threshold(rate)


def _recall(matches: Matches, rate: float) -> float:
    found = _found(matches, rate)
    return float(found.sum() / max(len(found), 1))


def _landmarks(matches: Matches, rate: float) -> float:
    """Median error over the distance of the eyes, of the faces found; NaN where none is."""
    errors = matches.errors[_found(matches, rate)]
    errors = errors[np.isfinite(errors)]
    return float(np.median(errors)) if len(errors) else math.nan


def _least(what: str, value: float, limit: float) -> Check:
    verdict = "pass" if value >= limit else "fail"
    return Check(what, _exactly(value), limit, verdict, SCOPE)


def _exactly(value: float) -> Estimate:
    return Estimate(value, value, value)
