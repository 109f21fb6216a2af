"""Frame → face boxes → crops → expressions, each stage timed; a generator that outputs consume."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from dataclasses import dataclass

from fer_edge.device.classifier import Classifier
from fer_edge.device.events import Face, FacesInView, TrackEvent
from fer_edge.device.latency import Percentiles
from fer_edge.device.smoothing import NO_SMOOTHING, Smoothing
from fer_edge.device.sources import Frame
from fer_edge.device.tracking import Finder
from fer_edge.face import crop_faces, rule_for

__all__ = ["Face", "Latency", "Result", "TrackEvent", "run_pipeline"]


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
    events: tuple[TrackEvent, ...] = ()
    """Faces that appeared, changed their expression or left."""
    recent: Percentiles | None = None
    """Of frame to label over the newest frames, this one included; given where something happened.
    """


def run_pipeline(
    frames: Iterable[Frame],
    finder: Finder,
    classifier: Classifier,
    *,
    smoothing: Smoothing = NO_SMOOTHING,
) -> Generator[Result]:
    """Yield one result for every frame, in order.

    All faces of a frame go to the model as one stack.

    Args:
        frames: from one source.
        finder: finds and follows the faces.
        classifier: names their expressions; its crop rule is turned into that for the finder's
            detector.
        smoothing: of each face's expression over time.
    """
    rule = rule_for(finder.detector.crop_rule, classifier.crop_rule)
    in_view = FacesInView(classifier.labels, smoothing)
    for frame in frames:
        # a recording is read faster or slower than it was taken
        taken = frame.captured if frame.seconds is None else frame.seconds
        began = time.perf_counter()
        found = finder.find(frame.gray, taken)
        detected = time.perf_counter()
        crops = crop_faces(
            frame.gray,
            [sighting.box for sighting in found.seen],
            rule,
            [sighting.tilt for sighting in found.seen],
        )
        cropped = time.perf_counter()
        faces, events = in_view.update(found, classifier.probabilities(crops), taken)
        named = time.perf_counter()
        latency = Latency(
            capture=frame.capture_ms,
            detect=(detected - began) * 1e3,
            crop=(cropped - detected) * 1e3,
            infer=(named - cropped) * 1e3,
            light=_since_exposure(frame.sensor_ns),
        )
        yield Result(frame, faces, latency, events)


def _since_exposure(sensor_ns: int | None) -> float | None:
    if sensor_ns is None:
        return None
    return (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - sensor_ns) / 1e6
