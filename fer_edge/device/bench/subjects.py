"""What is measured: a model alone, and the whole pipeline around it."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Any, Protocol

import numpy as np

from fer_edge.device.bench.frames import Frames
from fer_edge.device.classifier import Classifier
from fer_edge.device.detectors import Detector
from fer_edge.device.latency import Percentiles
from fer_edge.device.pipeline import run_pipeline
from fer_edge.device.smoothing import NO_SMOOTHING, Smoothing
from fer_edge.device.tracking import EachFrame, FaceTracker, Finder
from fer_edge.face import FACE_SIZE
from fer_edge.opencv import load_opencv

LIBRARY = 64
"""Faces that queries are drawn from; noise, as the time does not depend on what they show."""
SEED = 0
STAGES = ("detect", "crop", "infer")


class Subject(Protocol):
    """Something that answers queries."""

    def query(self) -> float:
        """Put the next query; returns its milliseconds."""
        ...

    def details(self, skip: int) -> dict[str, Any]:
        """What else was learnt, without the first ``skip`` queries."""
        ...


class ModelAlone:
    """One face of raw pixels to its probabilities."""

    def __init__(self, classifier: Classifier) -> None:
        rng = np.random.default_rng(SEED)
        faces = rng.integers(0, 256, (LIBRARY, 1, FACE_SIZE, FACE_SIZE)).astype(np.uint8)
        # a library that is drawn from with replacement, as MLPerf has it
        self._faces = cycle([faces[place] for place in rng.integers(0, LIBRARY, 1024)])
        self._answer = classifier.probabilities

    def query(self) -> float:
        face = next(self._faces)
        began = time.perf_counter_ns()
        self._answer(face)
        return (time.perf_counter_ns() - began) / 1e6

    def details(self, skip: int) -> dict[str, Any]:
        return {"stages_ms": None, "faces_per_frame": None}


class WholePipeline:
    """One gray frame in memory to the labels of its faces."""

    def __init__(
        self, classifier: Classifier, frames: Frames, detector: Detector, detect_every: int
    ) -> None:
        recording = frames.fps is not None
        finder: Finder = (
            FaceTracker(detector, detect_every=detect_every) if recording else EachFrame(detector)
        )
        self._results = run_pipeline(
            frames.endless(),
            finder,
            classifier,
            smoothing=Smoothing() if recording else NO_SMOOTHING,
        )
        self._faces = array("I")
        self._stages = {stage: array("d") for stage in STAGES}

    def query(self) -> float:
        result = next(self._results)
        latency = result.latency
        self._faces.append(len(result.faces))
        for stage, taken in self._stages.items():
            taken.append(getattr(latency, stage))
        return latency.total

    def details(self, skip: int) -> dict[str, Any]:
        faces = np.array(self._faces)[skip:]
        stages: dict[str, Any] = {}
        for stage, taken in self._stages.items():
            times = np.array(taken)[skip:]
            counted = times if stage == "detect" else times[faces > 0]
            stages[stage] = Percentiles.of(counted).to_dict() if len(counted) else None
        return {"stages_ms": stages, "faces_per_frame": round(float(faces.mean()), 2)}


@contextmanager
def opencv_threads(threads: int) -> Iterator[None]:
    """Let OpenCV use so many threads."""
    cv2 = load_opencv()
    before = cv2.getNumThreads()
    cv2.setNumThreads(threads)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
