"""Events as JSON lines: one object a face a frame, one a track event, the summary last."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any, TextIO

from fer_edge.device.outputs.stream import Lines
from fer_edge.device.pipeline import Face, Latency, Result, TrackEvent


class JsonLines(Lines):
    """Writes events to a stream."""

    def __init__(
        self, stream: TextIO, labels: tuple[str, ...], *, every_frame: bool = False
    ) -> None:
        """``every_frame`` also gives a line, with nulls, for a frame without a face."""
        super().__init__(stream)
        self._labels = labels
        self._every_frame = every_frame

    def write(self, result: Result) -> None:
        """Write the events of one frame."""
        self.put(as_lines(entries(result, self._labels, every_frame=self._every_frame)))

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the summary as the last line."""
        self.put(as_lines([summary]))


def entries(
    result: Result, labels: tuple[str, ...], *, every_frame: bool = False
) -> list[dict[str, Any]]:
    """Return all that a frame has to tell: what happened to its tracks, then its faces.

    ``every_frame`` also tells, with nulls, of a frame without a face.
    """
    faces: tuple[Face | None, ...] = result.faces
    if not faces and every_frame:
        faces = (None,)
    told = [track_event(result, happened) for happened in result.events]
    return told + [event(result, face, labels) for face in faces]


def as_lines(objects: list[dict[str, Any]]) -> str:
    """Return the objects as JSON, a line each; a file name's bytes that are no UTF-8 as escapes."""
    lines = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in objects)
    return lines.encode("utf-8", "backslashreplace").decode()


def event(result: Result, face: Face | None, labels: tuple[str, ...]) -> dict[str, Any]:
    """Return the event of one face, or of a frame without a face, ready for JSON."""
    entry = _moment(result)
    if result.frame.name is not None:
        entry["image"] = result.frame.name
    entry["track"] = None if face is None else face.track
    if face is None:
        entry |= {"box": None, "label": None, "confidence": None, "probabilities": None}
    else:
        entry |= {
            "box": list(face.box),
            "label": face.label,
            "confidence": round(face.confidence, 4),
            "probabilities": {
                label: round(float(value), 4)
                for label, value in zip(labels, face.probabilities, strict=True)
            },
        }
    entry["latency_ms"] = _milliseconds(result.latency)
    return entry


def track_event(result: Result, happened: TrackEvent) -> dict[str, Any]:
    """Return what happened to a track, ready for JSON."""
    entry = _moment(result) | {
        "event": happened.kind,
        "track": happened.track,
        "box": list(happened.box),
        "label": happened.label,
        "previous": happened.previous,
        "confidence": round(happened.confidence, 4),
        "seconds": round(happened.seconds, 3),
    }
    if result.recent is not None:
        entry["latency_ms"] = {"total": result.recent.to_dict()}
    return entry


def _moment(result: Result) -> dict[str, Any]:
    return {"time": _clock(result.frame.captured), "frame": result.frame.index}


def _milliseconds(latency: Latency) -> dict[str, float]:
    stages = {
        "capture": latency.capture,
        "detect": latency.detect,
        "crop": latency.crop,
        "infer": latency.infer,
        "total": latency.total,
    }
    if latency.light is not None:
        stages["light"] = latency.light
    return {stage: round(value, 3) for stage, value in stages.items()}


def _clock(captured: float) -> str:
    """Turn ``time.perf_counter`` seconds into UTC as 2026-11-21T10:00:00.123Z."""
    moment = datetime.now(UTC) - timedelta(seconds=time.perf_counter() - captured)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
