"""The Pi camera against a stand-in for picamera2 that stalls, drops frames and disappears."""

from __future__ import annotations

import sys
import weakref
from concurrent.futures import CancelledError
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fer_edge.device.doctor import Finding, examine
from fer_edge.device.sources import LiveSource
from fer_edge.device.sources.camera import CameraStalled
from fer_edge.device.sources.picamera import SIZE, PiCamera
from fer_edge.device.sources.supervised import Recovery
from fer_edge.errors import FerEdgeError

WIDTH, HEIGHT = SIZE
STRIDE = WIDTH + 64
FRAME_NS = 33_333_000


class Job:
    """A capture that is under way; ``late`` ones are done only when somebody cancels them."""

    def __init__(self, request: Any, *, stalled: bool, late: bool = False) -> None:
        self.request, self.stalled, self.late = request, stalled, late
        self.cancelled = False

    def get_result(self, *, timeout: float) -> Any:
        assert 0 < timeout < 60, "a capture without a timeout may wait for ever"
        if self.cancelled and not self.late:
            raise CancelledError
        if self.stalled and not self.cancelled:
            raise TimeoutError
        return self.request


class Allocator:
    """Owns the buffers."""


class Camera:
    """What picamera2 does, as far as PiCamera relies on it; calls are noted in ``log``."""

    log: list[str]
    stalls: int
    late: bool
    numbers: list[int]
    opening_error: Exception | None
    configuring_error: Exception | None
    starting_errors: list[Exception]
    duration_us: int | None
    held: int

    def __init__(self, number: int) -> None:
        self.log.append("open")
        if self.opening_error:
            raise self.opening_error
        self.yuv = False
        self.allocator = Allocator()
        self.jobs: list[Job] = []

    def create_video_configuration(self, **wanted: Any) -> dict[str, Any]:
        return wanted

    def configure(self, config: dict[str, Any]) -> None:
        if self.configuring_error:
            raise self.configuring_error
        self.config = config

    def camera_configuration(self) -> dict[str, Any]:
        return self.config

    def start(self) -> None:
        self.log.append("start")
        if self.starting_errors and self.log.count("start") > 1:
            raise self.starting_errors.pop()

    def stop(self) -> None:
        self.log.append("stop")

    def close(self) -> None:
        self.log.append("close")

    def cancel_all_and_flush(self) -> None:
        self.log.append("flush")
        for job in self.jobs:
            job.cancelled = True

    def capture_request(self, *, wait: bool) -> Job:
        assert wait is False
        assert all(job.cancelled or not job.stalled for job in self.jobs), "a job stayed queued"
        stalled = Camera.stalls > 0
        Camera.stalls -= stalled
        job = Job(None if stalled and not self.late else self._next(), stalled=stalled)
        job.late = self.late
        self.jobs.append(job)
        return job

    def _next(self) -> Any:
        Camera.held += 1
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

    @staticmethod
    def release() -> None:
        Camera.held -= 1


class MappedArray:
    open = 0

    def __init__(self, request: Any, stream: str, write: bool) -> None:
        assert (stream, write) == ("lores", False)
        self.array = request.planes

    def __enter__(self) -> MappedArray:
        MappedArray.open += 1
        return self

    def __exit__(self, *_: object) -> None:
        MappedArray.open -= 1


@pytest.fixture(autouse=True)
def picamera2(monkeypatch: pytest.MonkeyPatch) -> type[Camera]:
    Camera.log, Camera.stalls, Camera.late, Camera.held = [], 0, False, 0
    Camera.opening_error, Camera.configuring_error, Camera.starting_errors = None, None, []
    Camera.numbers, Camera.duration_us = list(range(20)), FRAME_NS // 1000
    MappedArray.open = 0
    module = ModuleType("picamera2")
    module.Picamera2, module.MappedArray = Camera, MappedArray
    libcamera = ModuleType("libcamera")
    libcamera.ColorSpace = SimpleNamespace(Sycc=lambda: "full range")
    monkeypatch.setitem(sys.modules, "picamera2", module)
    monkeypatch.setitem(sys.modules, "libcamera", libcamera)
    return Camera


@pytest.fixture
def camera():
    """One that is open."""
    opened = PiCamera(timeout=0.01)
    opened.open()
    yield opened
    opened.close()


def test_the_luma_plane_is_used_in_place_without_its_stride(camera):
    for number in range(2):
        shot = camera.read()
        request = camera._camera.jobs[-1].request
        assert shot.gray.shape == (HEIGHT, WIDTH)
        assert np.shares_memory(shot.gray, request.planes)
        assert (shot.gray == number).all()
        assert shot.sensor_ns == 10**12 + number * FRAME_NS
        assert shot.colour is None
        shot.release()


def test_luma_is_asked_for_in_full_range(camera):
    assert camera._camera.config["colour_space"] == "full range"
    assert camera._camera.config["lores"]["format"] == "YUV420"


def test_a_buffer_stays_mapped_until_it_is_given_back(camera, picamera2):
    shot = camera.read()
    assert (MappedArray.open, picamera2.held) == (1, 1)
    shot.release()
    assert (MappedArray.open, picamera2.held) == (0, 0)


def test_who_still_looks_at_a_picture_keeps_its_buffers_from_being_unmapped(camera):
    allocator = weakref.ref(camera._camera.allocator)
    shot = camera.read()
    view = shot.gray[:10]
    shot.release()
    camera.close()
    del shot
    assert allocator() is not None
    del view
    assert allocator() is None


def test_a_failure_while_a_frame_is_unpacked_gives_its_buffer_back(camera, picamera2):
    picamera2.duration_us = "no number"
    camera.read().release()
    with pytest.raises(TypeError):
        camera.read()
    assert (MappedArray.open, picamera2.held) == (0, 0)


def test_colour_frames_survive_the_buffer_they_came_in():
    camera = PiCamera(colour=True)
    camera.open()
    shots = [camera.read(), camera.read()]
    for shot in shots:
        shot.release()
    assert [int(shot.colour[0, 0, 0]) for shot in shots] == [0, 1]


def test_a_camera_that_gives_nv12_instead_of_rgb_still_gives_colour():
    camera = PiCamera(colour=True)
    camera.open()
    camera._camera.config["main"]["format"] = "NV12"
    camera._camera.yuv = True
    assert camera.read().colour.shape == (HEIGHT, WIDTH, 3)


def test_frames_that_the_sensor_took_meanwhile_are_counted_as_missed(camera, picamera2):
    picamera2.numbers = [0, 1, 4, 5]
    assert [camera.read().missed for _ in range(4)] == [0, 0, 2, 0]


def test_no_frame_counts_as_missed_where_the_camera_does_not_tell_its_rate(camera, picamera2):
    picamera2.numbers, picamera2.duration_us = [0, 7], None
    assert [camera.read().missed for _ in range(2)] == [0, 0]


def test_the_time_of_a_stall_is_not_taken_for_missed_frames(camera, picamera2):
    picamera2.numbers, picamera2.stalls = [0, 200], 0
    camera.read()
    picamera2.stalls = 1
    with pytest.raises(CameraStalled):
        camera.read()
    assert camera.read().missed == 0


def test_a_capture_that_times_out_leaves_no_job_behind(camera, picamera2):
    picamera2.stalls = 1
    with pytest.raises(CameraStalled, match=r"gave no frame for 0\.01 s"):
        camera.read()
    assert picamera2.log == ["open", "start", "flush"]
    assert camera.read().gray.shape == (HEIGHT, WIDTH)


def test_a_frame_that_comes_at_the_moment_of_its_timeout_is_not_lost(camera, picamera2):
    picamera2.stalls, picamera2.late = 1, True
    camera.read().release()
    assert picamera2.held == 0


def test_a_stalled_camera_is_flushed_then_restarted_then_reopened(picamera2):
    said: list[str] = []
    picamera2.stalls = 3
    recovery = Recovery(pauses=(0.0,))
    with LiveSource(PiCamera(timeout=0.01), recovery=recovery, report=said.append) as source:
        assert next(source.frames()).gray.shape == (HEIGHT, WIDTH)
        log = picamera2.log.copy()
    assert log == [
        *("open", "start"),
        "flush",
        *("flush", "stop", "start"),
        *("flush", "close", "open", "start"),
    ]
    assert said[0] == "camera 0 gave no frame for 0.01 s; trying to get it going"
    assert "is back after" in said[1]


def test_a_camera_that_fails_to_start_again_is_opened_anew(picamera2):
    said: list[str] = []
    picamera2.stalls = 2
    picamera2.starting_errors = [RuntimeError("Failed to start camera: Input/output error")]
    recovery = Recovery(pauses=(0.0,))
    with LiveSource(PiCamera(timeout=0.01), recovery=recovery, report=said.append) as source:
        assert next(source.frames()).gray.shape == (HEIGHT, WIDTH)
    assert picamera2.log.count("open") == 2
    assert any("is back after" in line for line in said)


@pytest.mark.parametrize("error", [ImportError("libcamera.so.0.3"), ValueError("numpy.dtype size")])
def test_a_picamera2_that_does_not_load_is_one_line(error, monkeypatch):
    class Refuses:
        def find_spec(self, name, path=None, target=None):
            if name == "picamera2":
                raise error

    monkeypatch.delitem(sys.modules, "picamera2")
    monkeypatch.setattr(sys, "meta_path", [Refuses(), *sys.meta_path])
    with pytest.raises(FerEdgeError, match="installed but does not load") as caught:
        PiCamera().open()
    assert str(error) in caught.value.message


def test_doctor_names_the_sensors_and_says_where_there_is_none(picamera2, monkeypatch):
    def told() -> Finding:
        return next(each for each in examine().findings if each.topic == "Pi camera")

    monkeypatch.setattr("fer_edge.device.doctor._version", lambda module, name: "0.3.31")
    usb = {"Model": "C920", "Id": "/base/scb/pcie@7d500000/pci@0,0/usb@0,0-1.4:1.0-046d:0825"}
    ribbon = {"Model": "imx708", "Id": "/base/soc/i2c0mux/i2c@1/imx708@1a"}
    picamera2.global_camera_info = staticmethod(lambda: [ribbon, usb])
    assert (told().state, told().detail) == ("ok", "imx708, through picamera2 0.3.31")
    picamera2.global_camera_info = staticmethod(lambda: [usb])
    assert (told().state, told().detail) == ("absent", "picamera2 0.3.31, which finds no sensor")
    assert "ribbon cable" in told().remedy

    def fails() -> None:
        raise RuntimeError("failed to start camera manager")

    picamera2.global_camera_info = staticmethod(fails)
    assert told().state == "missing"
    assert "failed to start camera manager" in told().detail


def test_no_camera_a_busy_one_and_one_of_another_kind_are_told_apart(picamera2):
    picamera2.opening_error = RuntimeError("No camera number 0 found")
    with pytest.raises(FerEdgeError, match="no camera 0"):
        PiCamera().open()
    busy = RuntimeError("Camera __init__ sequence did not complete.")
    busy.__cause__ = RuntimeError("Failed to acquire camera: Device or resource busy")
    picamera2.opening_error = busy
    with pytest.raises(FerEdgeError, match="camera 0 is busy"):
        PiCamera().open()
    picamera2.opening_error = None
    picamera2.configuring_error = RuntimeError("lores stream not supported")
    with pytest.raises(FerEdgeError, match="lores stream not supported") as caught:
        PiCamera().open()
    assert "--camera /dev/video" in caught.value.hint
    assert picamera2.log[-1] == "close"
