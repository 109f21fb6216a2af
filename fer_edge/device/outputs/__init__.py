"""Where results go: JSON lines, answers, a log, a status line, a window, annotated pictures."""

from __future__ import annotations

from fer_edge.device.outputs.answers import Answers
from fer_edge.device.outputs.base import Lossy, Output, OutputClosed
from fer_edge.device.outputs.jsonl import JsonLines
from fer_edge.device.outputs.log import LogFile
from fer_edge.device.outputs.pictures import AnnotatedPictures
from fer_edge.device.outputs.status import StatusLine
from fer_edge.device.outputs.video import CODECS, AnnotatedVideo
from fer_edge.device.outputs.window import Window

__all__ = [
    "CODECS",
    "AnnotatedPictures",
    "AnnotatedVideo",
    "Answers",
    "JsonLines",
    "LogFile",
    "Lossy",
    "Output",
    "OutputClosed",
    "StatusLine",
    "Window",
]
