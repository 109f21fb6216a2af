"""Frame → face boxes → crops → expressions, each stage timed; a generator that outputs consume."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fer_edge.device.classifier import Classifier
from fer_edge.device.detectors import Detector
from fer_edge.device.sources import Frame
from fer_edge.face import Box, crop_faces


@dataclass(frozen=True)
class Face:
    """One face in one frame, with what the model made of it."""

    box: Box
    label: str
    """The most probable label."""
    confidence: float
    """Its probability, 0 to 1."""
    probabilities: npt.NDArray[np.float32]
    """(C,) in the order of the classifier's labels; the sum is 1."""


@dataclass(frozen=True)
class Latency:
    """Milliseconds that each stage took for one frame."""

    capture: float
    detect: float
    crop: float
    infer: float
    light: float | None = None
    """From the sensor's exposure to the labels, where the camera tells."""

    @property
    def total(self) -> float:
        """Frame to labels: the work of all stages, without waiting for the camera."""
        return self.capture + self.detect + self.crop + self.infer


@dataclass(frozen=True)
class Result:
    """What the pipeline found in one frame."""

    frame: Frame
    faces: tuple[Face, ...]
    """Largest first."""
    latency: Latency


def run_pipeline(
    frames: Iterable[Frame], detector: Detector, classifier: Classifier
) -> Generator[Result]:
    """Yield one result for every frame, in order.

    All faces of a frame go to the model as one stack.
    """
    for frame in frames:
        began = time.perf_counter()
        boxes = detector.detect(frame.gray)
        detected = time.perf_counter()
        crops = crop_faces(frame.gray, boxes, classifier.crop_rule)
        cropped = time.perf_counter()
        faces = tuple(
            _name(classifier.labels, box, row)
            for box, row in zip(boxes, classifier.probabilities(crops), strict=True)
        )
        named = time.perf_counter()
        yield Result(
            frame,
            faces,
            Latency(
                capture=frame.capture_ms,
                detect=(detected - began) * 1e3,
                crop=(cropped - detected) * 1e3,
                infer=(named - cropped) * 1e3,
                light=_since_exposure(frame.sensor_ns),
            ),
        )


def _name(labels: tuple[str, ...], box: Box, probabilities: npt.NDArray[np.float32]) -> Face:
    best = int(probabilities.argmax())
    return Face(box, labels[best], float(probabilities[best]), probabilities)


def _since_exposure(sensor_ns: int | None) -> float | None:
    if sensor_ns is None:
        return None
    return (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - sensor_ns) / 1e6
