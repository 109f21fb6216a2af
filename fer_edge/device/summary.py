"""What a run amounted to: counts, latency percentiles, machine; as JSON and as a table."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fer_edge.board import Board, Health, peak_memory_mib
from fer_edge.device.classifier import WARM_UP, Classifier
from fer_edge.device.events import KINDS
from fer_edge.device.latency import STAGES, LatencyRecorder
from fer_edge.device.pipeline import Result
from fer_edge.device.smoothing import UNCERTAIN
from fer_edge.device.sources import SourceCounts
from fer_edge.device.tracking import Finder


class Tally:
    """Counts a run's frames, faces and labels, and records its latencies."""

    def __init__(self) -> None:
        self.latencies = LatencyRecorder((*STAGES, "light"))
        self.frames = 0
        self.with_faces = 0
        self.faces = 0
        self.labels: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self._started = time.perf_counter()

    def start(self) -> None:
        """Count seconds from now on: what was opened since this was made is no frame's time."""
        self._started = time.perf_counter()

    def add(self, result: Result) -> None:
        """Count one frame's result; a stage that did not run in it is not recorded."""
        self.frames += 1
        self.with_faces += bool(result.faces)
        self.faces += len(result.faces)
        self.labels.update(face.label for face in result.faces)
        self.events.update(event.kind for event in result.events)
        latency = result.latency
        self.latencies.add("capture", latency.capture)
        self.latencies.add("detect", latency.detect)
        if result.faces:
            self.latencies.add("crop", latency.crop)
            self.latencies.add("infer", latency.infer)
        self.latencies.add("total", latency.total)
        if latency.light is not None:
            self.latencies.add("light", latency.light)

    def summary(
        self,
        *,
        classifier: Classifier,
        finder: Finder,
        source: str,
        counts: SourceCounts,
        board: Board,
        before: Health,
        after: Health,
        interrupted: bool,
    ) -> dict[str, Any]:
        """Return the summary object, the last line of the events."""
        seconds = time.perf_counter() - self._started
        percentiles = {stage: self.latencies.overall(stage) for stage in self.latencies.stages}
        peak = peak_memory_mib()
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {
            "summary": True,
            "time": now,
            "interrupted": interrupted,
            "source": source,
            "frames": {
                "read": self.frames,
                "with_faces": self.with_faces,
                "unreadable": counts.unreadable,
                "dropped": counts.dropped,
            },
            "faults": dict(counts.faults),
            "faces": self.faces,
            "labels": {label: self.labels[label] for label in (*classifier.labels, UNCERTAIN)},
            "events": {kind: self.events[kind] for kind in KINDS},
            "detector": {"name": finder.detector.name, "detections": finder.detections},
            "seconds": round(seconds, 3),
            "fps": round(self.frames / seconds, 2),
            "latency_ms": {
                stage: found.to_dict() | {"count": found.count}
                for stage, found in percentiles.items()
                if found is not None
            },
            "warm_up_inferences": WARM_UP,
            "peak_memory_mib": None if peak is None else round(peak, 1),
            "model": {
                "file": classifier.name,
                "runtime": classifier.model.runtime,
                "member": classifier.member,
                "sha256": classifier.sha256,
                "model_sha256": classifier.sha256,
                "bundle_sha256": classifier.bundle_sha256,
                "verified": classifier.verified,
            },
            "machine": board.to_dict(),
            "health": {"before": before.to_dict(), "after": after.to_dict()},
            "notes": list(counts.notes),
        }


def print_summary(summary: dict[str, Any], board: Board, console: Console) -> None:
    """Print the latency table and the counts."""
    table = Table(title="Latency in ms", title_justify="left")
    table.add_column("stage")
    for name in ("p50", "p90", "p99", "max", "measured"):
        table.add_column(name, justify="right")
    for stage, found in summary["latency_ms"].items():
        numbers = [f"{found[name]:.2f}" for name in ("p50", "p90", "p99", "max")]
        table.add_row(_ROWS.get(stage, stage), *numbers, str(found["count"]))
    console.print(table)
    for line in _lines(summary, board):
        console.print(escape(line), highlight=False, soft_wrap=True)


_ROWS = {"total": "frame to label", "light": "light to label"}


def _lines(summary: dict[str, Any], board: Board) -> list[str]:
    frames = summary["frames"]
    share = frames["with_faces"] / frames["read"] if frames["read"] else 0.0
    labels = ", ".join(f"{label} {count}" for label, count in summary["labels"].items() if count)
    lines = [
        f"{frames['read']} frames in {summary['seconds']:.1f} s, {summary['fps']:.1f} a second, "
        f"all stages and outputs; unreadable {frames['unreadable']}, dropped {frames['dropped']}"
        + (f", let go while stopped {frames['paused']}" if frames["paused"] else ""),
        f"{frames['with_faces']} frames with a face ({share:.1%}), {summary['faces']} faces"
        + (f": {labels}" if labels else ""),
        f"faces looked for in {summary['detector']['detections']} frames with "
        f"{summary['detector']['name']}; "
        + ", ".join(f"{kind} {count}" for kind, count in summary["events"].items()),
        f"{summary['model']['file']} on {summary['model']['runtime']}, "
        + ("verified on this machine" if summary["model"]["verified"] else "nothing verified")
        + f"; {summary['warm_up_inferences']} inferences of warm-up, not counted",
        f"{board}, peak memory {summary['peak_memory_mib']} MiB",
    ]
    after = summary["health"]["after"]
    if after["temperature_c"] is not None:
        lines[-1] += f", {after['temperature_c']:.0f} °C"
    lines += [f"held back: {reason}" for reason in after["throttle_reasons"]]
    return lines + summary["notes"]
