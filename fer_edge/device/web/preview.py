"""One picture of the preview: a JPEG with the faces in it as text, for the page to draw."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any

from fer_edge.device.pipeline import Result
from fer_edge.face import Pixels
from fer_edge.opencv import load_opencv

MAX_SIDE = 640
"""Pixels of the longer side that are sent at most."""

_QUALITY = 75
_HEADER = struct.Struct(">I")


@dataclass(frozen=True)
class Picture:
    """A frame that is ours to keep."""

    pixels: Pixels
    """(H, W) gray or (H, W, 3) blue first, uint8."""
    facts: dict[str, Any]
    """Frame number, size, faces and latency, ready for JSON."""


def take_picture(result: Result) -> Picture:
    """Copy a frame, in colour if it has any. This is all that the pipeline has to wait for."""
    frame = result.frame
    source = frame.gray if frame.colour is None else frame.colour
    facts = {
        "frame": frame.index,
        "width": source.shape[1],
        "height": source.shape[0],
        "faces": [
            {
                "track": face.track,
                "box": list(face.box),
                "label": face.label,
                "confidence": round(face.confidence, 3),
            }
            for face in result.faces
        ],
        "total_ms": round(result.latency.total, 2),
    }
    return Picture(source.copy(), facts)


def encode(picture: Picture) -> bytes:
    """Return a big-endian uint32, so many bytes of JSON, and a JPEG; at most 640 pixels a side."""
    cv2 = load_opencv()
    pixels = picture.pixels
    scale = MAX_SIDE / max(pixels.shape[:2])
    if scale < 1:
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    _, jpeg = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))
    facts = json.dumps(picture.facts, ensure_ascii=False).encode()
    return _HEADER.pack(len(facts)) + facts + jpeg.tobytes()
