"""The Pi camera against a stand-in for picamera2 that stalls, drops frames and disappears."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fer_edge.device.sources.picamera import SIZE, PiCamera
from fer_edge.errors import FerEdgeError

WIDTH, HEIGHT = SIZE
STRIDE = WIDTH + 64
FRAME_NS = 33_333_000


class Camera:
    """What picamera2 does, as far as PiCamera relies on it; calls are noted in ``log``."""

    log: list[str]
    stalls: int
    numbers: list[int]
    opening_error: Exception | None
    duration_us: int | None

    def __init__(self, number: int) -> None:
        self.log.append("open")
        if self.opening_error:
            raise self.opening_error
        self.held, self.yuv = 0, False

    def create_video_configuration(self, **wanted: Any) -> dict[str, Any]:
        return wanted

    def configure(self, config: dict[str, Any]) -> None:
        self.config = config

    def camera_configuration(self) -> dict[str, Any]:
        return self.config

    def start(self) -> None:
        self.log.append("start")

    def stop(self) -> None:
        self.log.append("stop")

    def close(self) -> None:
        self.log.append("close")

    def cancel_all_and_flush(self) -> None:
        self.log.append("flush")

    def capture_request(self, *, wait: float) -> Any:
        assert 0 < wait < 60, "a capture without a timeout may wait for ever"
        if Camera.stalls:
            Camera.stalls -= 1
            raise TimeoutError
        assert self.held == 0, "the frame before was not given back"
        self.held += 1
        number = Camera.numbers.pop(0)
        return SimpleNamespace(
            planes=np.full((HEIGHT * 3 // 2, STRIDE), number, np.uint8),
            get_metadata=lambda: {
                "SensorTimestamp": 10**12 + number * FRAME_NS,
                "FrameDuration": self.duration_us,
            },
            make_array=lambda name: np.full(
                (HEIGHT * 3 // 2, WIDTH) if self.yuv else (HEIGHT, WIDTH, 3), number, np.uint8
            ),
            release=self.release,
        )

    def release(self) -> None:
        self.held -= 1


class MappedArray:
    def __init__(self, request: Any, stream: str, write: bool) -> None:
        assert (stream, write) == ("lores", False)
        self.array = request.planes

    def __enter__(self) -> MappedArray:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True)
def picamera2(monkeypatch: pytest.MonkeyPatch) -> type[Camera]:
    Camera.log, Camera.stalls, Camera.opening_error = [], 0, None
    Camera.numbers, Camera.duration_us = list(range(20)), FRAME_NS // 1000
    module = ModuleType("picamera2")
    module.Picamera2, module.MappedArray = Camera, MappedArray
    libcamera = ModuleType("libcamera")
    libcamera.ColorSpace = SimpleNamespace(Sycc=lambda: "full range")
    monkeypatch.setitem(sys.modules, "picamera2", module)
    monkeypatch.setitem(sys.modules, "libcamera", libcamera)
    return Camera


def _take(count: int, **options: Any) -> tuple[PiCamera, list[Any]]:
    taken = []
    with PiCamera(timeout=0.01, **options) as source:
        for frame in source.frames():
            taken.append((frame.index, frame.gray, frame.sensor_ns, frame.colour))
            if len(taken) == count:
                break
    return source, taken


def test_the_luma_plane_is_used_in_place_without_its_stride():
    _, frames = _take(2)
    for number, (index, gray, sensor, colour) in enumerate(frames):
        assert index == number
        assert gray.shape == (HEIGHT, WIDTH)
        assert gray.base is not None
        assert (gray == number).all()
        assert sensor == 10**12 + number * FRAME_NS
        assert colour is None


def test_luma_is_asked_for_in_full_range():
    with PiCamera() as source:
        assert source._camera.config["colour_space"] == "full range"
        assert source._camera.config["lores"]["format"] == "YUV420"


def test_colour_frames_survive_the_buffer_they_came_in():
    _, frames = _take(2, colour=True)
    assert [int(colour[0, 0, 0]) for *_, colour in frames] == [0, 1]


def test_a_camera_that_gives_nv12_instead_of_rgb_still_gives_colour(picamera2):
    with PiCamera(colour=True) as source:
        source._camera.config["main"]["format"] = "NV12"
        source._camera.yuv = True
        colour = next(source.frames()).colour
    assert colour.shape == (HEIGHT, WIDTH, 3)


def test_frames_that_the_sensor_took_meanwhile_are_counted_as_dropped(picamera2):
    picamera2.numbers = [0, 1, 4, 5]
    source, frames = _take(4)
    assert [index for index, *_ in frames] == [0, 1, 4, 5]
    assert source.counts.dropped == 2


def test_dropped_frames_are_unknown_where_the_camera_does_not_tell_its_rate(picamera2):
    picamera2.duration_us = None
    source, _ = _take(3)
    assert source.counts.dropped is None


@pytest.mark.parametrize(
    ("stalls", "steps"),
    [
        (1, ["flush"]),
        (2, ["flush", "flush", "stop", "start"]),
        (3, ["flush", "flush", "stop", "start", "flush", "close", "open", "start"]),
    ],
)
def test_a_stalled_camera_is_flushed_then_restarted_then_reopened(picamera2, stalls, steps):
    picamera2.stalls = stalls
    source, frames = _take(1)
    assert len(frames) == 1
    assert picamera2.log == ["open", "start", *steps, "close"]
    assert f"recovery steps taken: {stalls}" in source.counts.notes[0]


def test_a_camera_beyond_recovery_ends_the_run_with_an_error(picamera2):
    picamera2.stalls = 1000
    with pytest.raises(FerEdgeError, match=r"gave no frame for 0\.01 s, nor after"):
        _take(1)
    assert picamera2.log[-1] == "close"


def test_a_camera_that_is_gone_when_reopened_is_reported(picamera2):
    picamera2.stalls = 1000
    with PiCamera(timeout=0.01) as source:
        picamera2.opening_error = RuntimeError("No camera number 0 found")
        with pytest.raises(FerEdgeError, match="no camera 0"):
            next(source.frames())


def test_no_camera_and_a_busy_camera_are_told_apart(picamera2):
    picamera2.opening_error = RuntimeError("No camera number 0 found")
    with pytest.raises(FerEdgeError, match="no camera 0"), PiCamera():
        pass
    busy = RuntimeError("Camera __init__ sequence did not complete.")
    busy.__cause__ = RuntimeError("Failed to acquire camera: Device or resource busy")
    picamera2.opening_error = busy
    with pytest.raises(FerEdgeError, match="camera 0 is busy"), PiCamera():
        pass


def test_an_interrupted_iteration_gives_the_buffer_back():
    with PiCamera() as source:
        frames = source.frames()
        next(frames)
        assert source._camera.held == 1
        frames.close()
        assert source._camera.held == 0
