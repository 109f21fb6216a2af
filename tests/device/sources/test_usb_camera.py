"""USB cameras against a stand-in for OpenCV's capture, and which camera a name means."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from boards import PI_NODES, USB_NODES, video_nodes

from fer_edge.device.doctor import Finding, examine
from fer_edge.device.sources import find_camera, open_source
from fer_edge.device.sources.camera import CameraStalled
from fer_edge.device.sources.picamera import PiCamera
from fer_edge.device.sources.stream import NetworkCamera
from fer_edge.device.sources.v4l2 import UsbCamera
from fer_edge.errors import FerEdgeError


def test_no_camera_is_said_at_once_with_the_nodes_that_exist(tmp_path, monkeypatch):
    (tmp_path / "dev").mkdir()
    with pytest.raises(FerEdgeError, match="no camera at /dev/video1"):
        UsbCamera("/dev/video1", root=tmp_path).open()
    video_nodes(tmp_path, monkeypatch, **PI_NODES)
    with pytest.raises(FerEdgeError) as caught:
        UsbCamera("/dev/video1", root=tmp_path).open()
    assert "/dev/video" not in caught.value.hint
    video_nodes(tmp_path, monkeypatch, **PI_NODES, **USB_NODES)
    with pytest.raises(FerEdgeError) as caught:
        UsbCamera("/dev/video1", root=tmp_path).open()
    assert caught.value.hint == "there is /dev/video8 (HD Webcam C920)"


def test_of_a_pis_video_nodes_only_the_cameras_are_told(tmp_path, monkeypatch):
    def told() -> Finding:
        return next(each for each in examine(tmp_path).findings if each.topic == "USB cameras")

    assert told().state == "absent"
    video_nodes(tmp_path, monkeypatch, **PI_NODES)
    assert told().state == "absent"
    video_nodes(tmp_path, monkeypatch, **PI_NODES, **USB_NODES)
    assert (told().state, told().detail) == ("ok", "/dev/video8 (HD Webcam C920)")


def test_a_node_that_is_no_camera_and_one_that_is_busy_are_told_apart(tmp_path, capfd, monkeypatch):
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/video41").touch()
    camera = UsbCamera("/dev/video41", root=tmp_path)
    with pytest.raises(FerEdgeError, match="/dev/video41 is not a camera"):
        camera.open()

    video_nodes(tmp_path, monkeypatch, video41=("uvcvideo", "Webcam", 1))
    with pytest.raises(FerEdgeError, match="/dev/video41 is busy"):
        camera.open()
    assert capfd.readouterr().err == ""


def test_a_camera_of_another_user_is_refused_with_the_group_to_join(tmp_path, monkeypatch):
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/video0").touch()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(FerEdgeError, match="may not be read") as caught:
        UsbCamera("/dev/video0", root=tmp_path).open()
    assert "usermod -aG video" in caught.value.hint


class VideoCapture:
    """A V4L2 camera as OpenCV shows it; the fourth frame does not decode, the sixth never comes."""

    def __init__(self, path: str, backend: int) -> None:
        self.reads, self.released = 0, False
        self.asked: set[int] = set()
        self.decoding_s = 0.0
        self.stamp_ms = time.monotonic() * 1e3 - 40

    def isOpened(self) -> bool:
        return True

    def get(self, what: int) -> float:
        return {cv2.CAP_PROP_FPS: 30.0, cv2.CAP_PROP_POS_MSEC: self.stamp_ms}[what]

    def set(self, what: int, value: float) -> bool:
        self.asked.add(what)
        return True

    def grab(self) -> bool:
        self.reads += 1
        if self.decoding_s:
            time.sleep(0.1)
            until = time.thread_time() + self.decoding_s
            while time.thread_time() < until:
                pass
        return self.reads < 6

    def retrieve(self) -> tuple[bool, np.ndarray | None]:
        picture = np.full((480, 640, 3), (10, 20, self.reads), np.uint8)
        return (False, None) if self.reads == 4 else (True, picture)

    def release(self) -> None:
        self.released = True


@pytest.fixture
def usb(tmp_path, monkeypatch) -> UsbCamera:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/video0").touch()
    monkeypatch.setattr(cv2, "VideoCapture", VideoCapture)
    camera = UsbCamera("/dev/video0", colour=True, root=tmp_path)
    camera.open()
    return camera


def test_a_usb_camera_gives_gray_and_colour_until_it_is_unplugged(usb):
    shots = [usb.read() for _ in range(5)]
    assert shots[3] is None
    assert shots[0].gray.shape == (480, 640)
    assert [shot.colour[0, 0, 2] for shot in shots if shot] == [1, 2, 3, 5]
    with pytest.raises(CameraStalled, match="gives no more frames"):
        usb.read()
    capture = usb._capture
    usb.close()
    usb.close()
    assert capture.released
    assert usb.fps == 30


def test_a_usb_camera_keeps_the_drivers_buffers_without_which_every_other_frame_is_lost(usb):
    assert usb._capture.asked == {cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT}


def test_what_is_decoded_while_a_frame_is_waited_for_counts_and_the_waiting_does_not(usb):
    usb._capture.decoding_s = 0.03
    assert 30 <= usb.read().work_ms < 100


def test_a_drivers_monotonic_timestamp_becomes_the_moment_of_exposure(usb):
    age = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - usb.read().sensor_ns
    assert 40e6 <= age < 5e9


@pytest.mark.parametrize("stamp_ms", [0.0, 1e12])
def test_a_timestamp_of_another_clock_is_not_taken_for_the_exposure(usb, stamp_ms):
    usb._capture.stamp_ms = stamp_ms
    assert usb.read().sensor_ns is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("0", UsbCamera),
        ("/dev/v4l/by-id/usb-x", UsbCamera),
        ("rtsp://u:p@host/s", NetworkCamera),
        ("https://host:8443/cam.mjpg", NetworkCamera),
    ],
)
def test_a_camera_is_found_by_its_number_its_node_or_its_address(name, kind, monkeypatch):
    monkeypatch.setattr("fer_edge.device.sources.picamera2_available", lambda: False)
    assert type(find_camera(name)) is kind


def test_a_number_is_the_pi_camera_where_picamera2_is_installed(monkeypatch):
    monkeypatch.setattr("fer_edge.device.sources.picamera2_available", lambda: True)
    assert type(find_camera("1")) is PiCamera
    assert type(find_camera("/dev/video1")) is UsbCamera


@pytest.mark.parametrize(
    "name", ["front", "video0", "", "-1", "ftp://host:21/x", "rtsp://", "http://h:x/"]
)
def test_a_camera_that_is_called_like_nothing_known_is_refused(name):
    with pytest.raises(FerEdgeError):
        find_camera(name)


def test_a_password_is_not_shown():
    camera = find_camera("rtsp://admin:se%40cret@192.168.1.20:8554/stream1?channel=2")
    assert camera.name == "rtsp://192.168.1.20:8554/stream1?…"
    for address, shown in (
        ("rtsp://10.0.0.9:554/user=admin&password=secret&stream=0.sdp", "rtsp://10.0.0.9:554/…"),
        ("http://cam/video.cgi?user=admin&pwd=secret", "http://cam/video.cgi?…"),
        ("http://cam/video.cgi?mail=me@home&pwd=secret", "http://cam/video.cgi?…"),
    ):
        assert find_camera(address).name == shown
    with pytest.raises(FerEdgeError, match=r"rtsp://host:1/x\. write a /") as caught:
        find_camera("rtsp://me:12/secret@host:1/x")
    assert "secret" not in str(caught.value)
    for wrong in (
        "gopher://me:secret@host/x",
        "rtsp:/me:secret@host/x",
        "rtsp://me:se/secret@host/x",
        "http://u:secret@[/",
    ):
        with pytest.raises(FerEdgeError) as caught:
            find_camera(wrong)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("named", [{}, {"video": Path("a"), "camera": "0"}])
def test_exactly_one_source_has_to_be_named(named):
    with pytest.raises(FerEdgeError, match="name one source"):
        open_source(**named)
