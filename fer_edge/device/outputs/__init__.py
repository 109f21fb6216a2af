"""Where results go: JSON lines, a log, a status line, a window, an annotated video."""

from __future__ import annotations

from fer_edge.device.outputs.base import Lossy, Output, OutputClosed
from fer_edge.device.outputs.jsonl import JsonLines
from fer_edge.device.outputs.log import LogFile
from fer_edge.device.outputs.status import StatusLine
from fer_edge.device.outputs.video import AnnotatedVideo
from fer_edge.device.outputs.window import Window

__all__ = [
    "AnnotatedVideo",
    "JsonLines",
    "LogFile",
    "Lossy",
    "Output",
    "OutputClosed",
    "StatusLine",
    "Window",
]
