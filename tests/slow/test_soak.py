"""Days of a device's life in minutes: every frame through the whole pipeline, faults at random.

SOAK_FRAMES sets how many frames; 200,000 if it is unset.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "device"))
from fake_camera import FakeCamera, random_faults

from fer_edge.data.clip import draw_frames
from fer_edge.device import sources
from fer_edge.device.run import RunOptions, run
from fer_edge.device.sources.supervised import Recovery

FRAMES = int(os.environ.get("SOAK_FRAMES", "200000"))
SETTLED = 2_000
"""Frames after which memory is not to grow any more."""
GROWTH_KIB = 2 * 1024

pytestmark = pytest.mark.timeout(3 * 3600)


class MeasuredCamera(FakeCamera):
    """A fake camera that looks at this process now and then."""

    def __init__(self, pictures: list[np.ndarray]) -> None:
        script = itertools.chain.from_iterable(
            random_faults(seed, 10_000) for seed in itertools.count()
        )
        super().__init__(script, period=0.001, pictures=pictures)
        self.resident_kib: list[tuple[int, int]] = []

    def read(self):
        if self.frames % 500 == 0:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self.resident_kib.append((self.frames, pages * resource.getpagesize() // 1024))
        return super().read()


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> Iterator[MeasuredCamera]:
    pictures = [frame[..., 1].copy() for frame, _ in draw_frames(168, (160, 120), 1, seed=0)]
    made = MeasuredCamera(pictures)
    live = sources.LiveSource
    quick = Recovery(pauses=(0.0, 0.001), settled=0.0, frozen=1.0)
    monkeypatch.setattr(sources, "find_camera", lambda name, colour: made)
    monkeypatch.setattr(
        sources, "LiveSource", lambda found, **options: live(found, recovery=quick, **options)
    )
    return made


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_memory_descriptors_and_threads_stay_and_every_frame_is_accounted_for(
    bundle: Path, camera: MeasuredCamera, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = tmp_path / "last.json"
    threads, descriptors = threading.active_count(), _descriptors()
    with events.open("w") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", LastLine(stream))
        code = run(RunOptions(bundle=bundle, camera="0", json=True, max_frames=FRAMES))
    assert code == 0
    summary = json.loads(events.read_text())
    frames = summary["frames"]
    assert frames["read"] == FRAMES
    assert camera.frames >= frames["read"] + frames["dropped"] + frames["unreadable"]
    assert camera.frames - sum(frames[key] for key in ("read", "dropped", "unreadable")) <= 3
    assert frames["with_faces"] > 0.8 * FRAMES
    assert (
        min(camera.did[word] for word in ("stall", "damaged", "black", "large", "unplug"))
        > FRAMES / 2000
    )
    assert camera.held == 0
    assert (threading.active_count(), _descriptors()) == (threads, descriptors)
    settled = next(kib for frame, kib in camera.resident_kib if frame >= SETTLED)
    (_, final) = camera.resident_kib[-1]
    print(f"{FRAMES} frames: {settled} KiB resident at frame {SETTLED}, {final} KiB in the end")
    assert final - settled < GROWTH_KIB


class LastLine:
    """A stream that keeps what was written last."""

    def __init__(self, stream) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        self._stream.seek(0)
        self._stream.truncate()
        self._stream.write(text)

    def flush(self) -> None:
        pass
