"""Results and a run around them, made up, for what outputs do with them."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np

from fer_edge.board import read_board
from fer_edge.device.classifier import Classifier
from fer_edge.device.control import Control
from fer_edge.device.pipeline import Face, Latency, Result, TrackEvent
from fer_edge.device.sources import Frame, SourceCounts
from fer_edge.device.summary import Tally
from fer_edge.device.vitals import Vitals
from fer_edge.face import HAAR
from fer_edge.labels import LABELS

PROBABILITIES = np.full(len(LABELS), 0.015, np.float32)
PROBABILITIES[3] = 0.91


def result(
    index: int = 17,
    *,
    faces: int = 1,
    event: str | None = None,
    size: tuple[int, int] = (120, 160),
    light: float | None = None,
    name: str | None = None,
) -> Result:
    """One gray frame whose faces are happy.

    ``event`` is what happened to track 1; ``size`` height and width; ``light`` the time from light
    to label, in ms; ``name`` the picture's.
    """
    found = tuple(
        Face((10 + 60 * n, 30, 40, 40), "happy", 0.91, PROBABILITIES, n + 1) for n in range(faces)
    )
    gray = np.full(size, 60 + index % 128, np.uint8)
    frame = Frame(index, gray, time.perf_counter(), 1.25, name=name)
    events = (
        (TrackEvent(event, 1, (10, 30, 40, 40), "happy", None, 0.91, index / 10),) if event else ()
    )
    return Result(frame, found, Latency(1.25, 3.5, 0.125, 0.5, light), events)


def vitals() -> Vitals:
    """A run that has read nothing yet."""
    source = SimpleNamespace(name="made up", counts=SourceCounts(1, 2, {"stalled": 3}))
    model = SimpleNamespace(runtime="no runtime")
    classifier = Classifier(model, "tiny.fer", LABELS, HAAR, True, "0" * 64)
    return Vitals(Tally(), source, classifier, read_board(), Control())
