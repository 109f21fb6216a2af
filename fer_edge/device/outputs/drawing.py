"""Boxes and labels drawn into a picture."""

from __future__ import annotations

import numpy as np

from fer_edge.device.pipeline import Result
from fer_edge.face import Pixels
from fer_edge.opencv import load_opencv

_GREEN, _BLACK = (80, 220, 80), (0, 0, 0)


def annotated(result: Result) -> Pixels:
    """Return a copy of the frame, (H, W, 3) uint8, blue first, with its faces drawn in."""
    cv2 = load_opencv()
    frame = result.frame
    if frame.colour is None:
        picture: Pixels = cv2.cvtColor(frame.gray, cv2.COLOR_GRAY2BGR)
    else:
        picture = np.ascontiguousarray(frame.colour.copy())
    size = max(0.4, picture.shape[0] / 700)
    for face in result.faces:
        x, y, width, height = face.box
        cv2.rectangle(picture, (x, y), (x + width, y + height), _GREEN, 2)
        who = "" if face.track is None else f"#{face.track} "
        text = f"{who}{face.label} {face.confidence:.0%}"
        (wide, high), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
        top = max(0, y - high - 2 * below)
        cv2.rectangle(picture, (x, top), (x + wide + 4, top + high + 2 * below), _GREEN, -1)
        place = (x + 2, top + high + below)
        cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, _BLACK, 1, cv2.LINE_AA)
    return picture
