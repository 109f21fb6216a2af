"""A run's counts and latencies in Prometheus' text format, computed when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from fer_edge import __version__
from fer_edge.board import read_health
from fer_edge.device.events import KINDS
from fer_edge.device.smoothing import UNCERTAIN
from fer_edge.device.sources import FAULTS
from fer_edge.device.vitals import Vitals

BOUNDS_MS = (0.5, 1, 2, 4, 8, 16, 33, 66, 133, 266, 533, 1066)
"""Upper bounds of the latency histograms' buckets."""


def metrics_text(vitals: Vitals, web: dict[str, int]) -> bytes:
    """Return the metrics; ``web`` holds the counts of the server itself."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Run(vitals, web))
    return generate_latest(registry)


class _Run(Collector):
    def __init__(self, vitals: Vitals, web: dict[str, int]) -> None:
        self._vitals = vitals
        self._web = web

    def collect(self) -> Iterator[Metric]:
        vitals = self._vitals
        status = vitals.status()
        yield InfoMetricFamily(
            "fer_edge",
            "What runs here",
            value={
                "version": __version__,
                "model_sha256": vitals.classifier.sha256,
                "runtime": vitals.classifier.model.runtime,
                "machine": str(vitals.board),
            },
        )
        yield _gauge("fer_edge_running", "1 while frames are looked at", status["running"])
        frames = {key: n for key, n in status["frames"].items() if key != "with_faces"}
        yield _counter("fer_edge_frames", "Frames by what became of them", "outcome", frames)
        with_faces = CounterMetricFamily("fer_edge_frames_with_faces", "Frames with a face")
        with_faces.add_metric([], status["frames"]["with_faces"])
        yield with_faces
        # a series that began with its first count would have no rise there
        faces = dict.fromkeys((*vitals.classifier.labels, UNCERTAIN), 0) | status["labels"]
        events = dict.fromkeys(KINDS, 0) | status["events"]
        faults = dict.fromkeys(FAULTS, 0) | status["faults"]
        yield _counter("fer_edge_faces", "Faces by expression", "label", faces)
        yield _counter("fer_edge_events", "What tracked faces did", "event", events)
        yield _counter("fer_edge_faults", "Faults of the camera", "fault", faults)
        yield _counter("fer_edge_lost", "Events that an output lost", "output", status["lost"])
        yield _counter("fer_edge_web", "What the web server saw", "what", self._web)
        yield self._latencies()
        yield from _health()

    def _latencies(self) -> Metric:
        recorder = self._vitals.tally.latencies
        family = HistogramMetricFamily(
            "fer_edge_latency_seconds", "Latency of each stage", labels=["stage"]
        )
        for stage in recorder.stages:
            counts, total = recorder.within(stage, (*BOUNDS_MS, 1e9))
            names = [*(str(bound / 1e3) for bound in BOUNDS_MS), "+Inf"]
            family.add_metric([stage], list(zip(names, counts, strict=True)), total / 1e3)
        return family


def _health() -> Iterator[Metric]:
    health = read_health()
    if health.temperature_c is not None:
        yield _gauge("fer_edge_temperature_celsius", "Of the processor", health.temperature_c)
    if health.throttled is not None:
        yield _gauge("fer_edge_throttled_bits", "vcgencmd get_throttled", health.throttled)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))


def _counter(name: str, text: str, label: str, counts: dict[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for key, count in counts.items():
        family.add_metric([key], count)
    return family
