"""Opens and closes the camera again and again; prints what a test wants to know, as JSON."""

from __future__ import annotations

import gc
import json
import threading
import time
from pathlib import Path

import off_board  # noqa: F401

from fer_edge.device.sources import find_camera, open_source
from fer_edge.errors import FerEdgeError

ROUNDS = 12


def descriptors() -> int:
    """Open descriptors of this process."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def take(frames: int) -> None:
    """Open the camera, take frames, close it; the last picture is still looked at then."""
    with open_source(camera="0") as source:
        for frame in source.frames():
            kept = frame.gray
            if frame.index >= frames:
                break
    assert kept.shape == (480, 640)


take(3)
before = descriptors(), threading.active_count()
for _ in range(ROUNDS):
    take(3)
after = descriptors(), threading.active_count()

camera = find_camera("0")
camera.open()
try:
    find_camera("0").open()
    second = "opened"
except FerEdgeError as error:
    second = error.message
shot = camera.read()
age_ms = (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - (shot.sensor_ns or 0)) / 1e6
found = {
    "before": before,
    "after": after,
    "second": second,
    "age_ms": age_ms,
    "work_ms": shot.work_ms,
    "gray_is_a_copy": shot.gray.flags.owndata,
    "tones": [int(shot.gray.min()), int(shot.gray.max())],
}
shot.release()
camera.close()
print(json.dumps(found))
