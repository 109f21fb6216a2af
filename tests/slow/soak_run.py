"""A run like a service's, on a camera with faults at random; prints what became of the process.

    python soak_run.py BUNDLE FRAMES LOG PAGE BROKER

PAGE is a port to serve on, BROKER the port of a broker that comes and goes.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import resource
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "device"))
from fake_camera import FakeCamera, random_faults

from fer_edge.data.clip import draw_frames
from fer_edge.device import sources
from fer_edge.device.run import RunOptions, run
from fer_edge.device.services import ServiceOptions
from fer_edge.device.sources.supervised import Recovery

LOOK_EVERY = 250
"""Frames from one look at the process to the next."""


class MeasuredCamera(FakeCamera):
    """A fake camera that looks at this process now and then."""

    def __init__(self, pictures: list[np.ndarray]) -> None:
        script = itertools.chain.from_iterable(
            random_faults(seed, 10_000) for seed in itertools.count()
        )
        super().__init__(script, period=0.001, pictures=pictures)
        self.resident_kib: list[tuple[int, int]] = []

    def read(self):
        if self.frames >= len(self.resident_kib) * LOOK_EVERY:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self.resident_kib.append((self.frames, pages * resource.getpagesize() // 1024))
        return super().read()


class LastLine:
    """A stream that keeps what was written last, and how many frames the camera had taken then."""

    text, frames = "", 0

    def __init__(self, camera: FakeCamera) -> None:
        self._camera = camera

    def write(self, text: str) -> None:
        self.text, self.frames = text, self._camera.frames

    def flush(self) -> None:
        pass


def held() -> dict[str, Any]:
    """Threads of this process, and what its descriptors lead to."""
    gc.collect()
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that lists the folder
            found.append(str(entry.readlink()))
    return {"threads": threading.active_count(), "descriptors": sorted(found)}


def main(bundle: str, frames: int, log: str, page: str, broker: str) -> None:
    pictures = [frame[..., 1].copy() for frame, _ in draw_frames(168, (160, 120), 1, seed=0)]
    camera, live = MeasuredCamera(pictures), sources.LiveSource
    quick = Recovery(pauses=(0.0, 0.001), settled=0.0, frozen=1.0)
    sources.find_camera = lambda name, colour: camera
    sources.LiveSource = lambda found, **options: live(found, recovery=quick, **options)
    services = ServiceOptions(
        log=Path(log),
        log_size=0.1,
        serve=page,
        mqtt=f"mqtt://127.0.0.1:{broker}",
        mqtt_name="soak",
        mqtt_queue=50,
    )
    options = RunOptions(
        bundle=Path(bundle), camera="0", json=True, max_frames=frames, services=services
    )
    before, console, last = held(), sys.stdout, LastLine(camera)
    sys.stdout = last
    code = run(options)
    sys.stdout = console
    found = {
        "code": code,
        "summary": json.loads(last.text),
        "camera": {"frames": last.frames, "held": camera.held, "did": dict(camera.did)},
        "before": before,
        "after": held(),
        "resident_kib": camera.resident_kib,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
