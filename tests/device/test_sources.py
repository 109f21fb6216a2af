"""Where frames come from, and what is said when none come."""

from __future__ import annotations

import os
import shutil
import tarfile
import time
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from boards import PI_NODES, USB_NODES, video_nodes
from matroska import record

from fer_edge.device.doctor import Finding, examine
from fer_edge.device.sources import Source, find_camera, open_source
from fer_edge.device.sources.camera import CameraStalled
from fer_edge.device.sources.images import Pictures, decode_picture
from fer_edge.device.sources.picamera import PiCamera
from fer_edge.device.sources.stream import NetworkCamera
from fer_edge.device.sources.v4l2 import UsbCamera
from fer_edge.device.sources.video import VideoFile
from fer_edge.errors import FerEdgeError


def _drain(source: Source) -> list[int]:
    with source:
        return [frame.index for frame in source.frames()]


def test_a_video_gives_every_frame_once_and_in_order(clip):
    source = VideoFile(clip.path)
    assert _drain(source) == list(range(24))
    assert source.counts.unreadable == 0
    assert source.fps == 25


def test_a_frame_is_the_full_range_luma_of_the_decoded_picture(clip):
    with VideoFile(clip.path, colour=True) as source:
        frame = next(source.frames())
    assert frame.gray.shape == (180, 320)
    assert frame.gray.dtype == np.uint8
    np.testing.assert_array_equal(frame.gray, cv2.cvtColor(frame.colour, cv2.COLOR_BGR2GRAY))


def test_colour_is_kept_only_when_asked_for(clip):
    with VideoFile(clip.path) as source:
        assert next(source.frames()).colour is None


def test_damage_inside_a_video_is_counted_and_the_rest_is_read(clip, tmp_path, monkeypatch):
    class Damaged:
        """The real decoder, failing on the sixth and seventh frame as FFmpeg does."""

        def __init__(self, *arguments):
            self.inner, self.calls = real(*arguments), 0

        def read(self):
            self.calls += 1
            readable, picture = self.inner.read()
            return (False, None) if self.calls in (6, 7) else (readable, picture)

        def __getattr__(self, name):
            return getattr(self.inner, name)

    real = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", Damaged)
    source = VideoFile(clip.path)
    assert _drain(source) == [*range(5), *range(7, 24)]
    assert source.counts.unreadable == 2
    assert "2 damaged" in source.counts.notes[0]


def _say(monkeypatch, property_, value):
    """Of every video, whatever its file says."""

    class Saying:
        def __init__(self, *arguments):
            self.inner = real(*arguments)

        def get(self, what):
            return value if what == property_ else self.inner.get(what)

        def __getattr__(self, name):
            return getattr(self.inner, name)

    real = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", Saying)


def test_a_video_that_ends_before_its_header_says_so_is_reported(clip, monkeypatch):
    _say(monkeypatch, cv2.CAP_PROP_FRAME_COUNT, 100.0)
    source = VideoFile(clip.path)
    assert len(_drain(source)) == 24
    assert source.counts.unreadable == 76


JITTERED = [40 * n + (-7, 0, 8, 3)[n % 4] * (n > 0) for n in range(24)]
SLOWER_IN_THE_DARK = [33 * n for n in range(12)] + [363 + 100 * n for n in range(1, 13)]


@pytest.mark.parametrize("times", [JITTERED, SLOWER_IN_THE_DARK])
@pytest.mark.parametrize("length", [True, False])
def test_a_recording_with_uneven_times_keeps_them_and_lacks_nothing(clip, tmp_path, times, length):
    path = tmp_path / "recorded.webm"
    with VideoFile(clip.path, colour=True) as source:
        record(path, (frame.colour for frame in source.frames()), times, length=length)
    with VideoFile(path) as source:
        frames = list(source.frames())
        assert [frame.index for frame in frames] == list(range(24))
        assert [1e3 * frame.seconds for frame in frames] == pytest.approx(times, abs=0.01)
        assert (source.counts.unreadable, source.counts.notes) == (0, ())


def test_a_recording_with_uneven_times_that_is_cut_off_is_reported(clip, tmp_path):
    path = tmp_path / "cut.webm"
    with VideoFile(clip.path, colour=True) as source:
        record(path, (frame.colour for frame in source.frames()), JITTERED, length=True)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = VideoFile(path)
    read = len(_drain(source))
    assert 0 < read < 20
    assert read + source.counts.unreadable == pytest.approx(24, abs=1)


def test_frames_that_damage_swallowed_without_a_word_are_counted(tmp_path):
    path, noise = tmp_path / "noise.avi", np.random.default_rng(0)
    writer = cv2.VideoWriter(
        str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48)
    )
    for _ in range(50):
        writer.write(noise.integers(0, 256, (48, 64, 3)).astype(np.uint8))
    writer.release()
    content = bytearray(path.read_bytes())
    start = len(content) // 2
    content[start : start + len(content) // 5] = bytes(len(content) // 5)
    path.write_bytes(content)
    source = VideoFile(path)
    read = len(_drain(source))
    assert 25 < read < 45
    assert source.counts.unreadable == 50 - read


def test_frames_without_time_stamps_are_as_far_apart_as_the_header_says(clip, monkeypatch):
    _say(monkeypatch, cv2.CAP_PROP_POS_MSEC, 0.0)
    with VideoFile(clip.path) as source:
        seconds = [frame.seconds for frame in source.frames()]
        assert seconds == pytest.approx([n / 25 for n in range(24)])
        assert source.counts.unreadable == 0


@pytest.mark.parametrize("name", ["12:30.mp4", "rtsp:x.mp4", "./12:30.mp4"])
def test_a_video_may_have_a_colon_in_its_name(clip, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    shutil.copy(clip.path, name)
    assert _drain(VideoFile(Path(name))) == list(range(24))


def test_no_such_video_is_named(tmp_path):
    with pytest.raises(FerEdgeError, match=r"no such video: .*gone\.mp4"):
        _drain(VideoFile(tmp_path / "gone.mp4"))


def test_a_file_that_is_no_video_is_refused_without_a_word_from_ffmpeg(tmp_path, capfd):
    path = tmp_path / "noise.mp4"
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    with pytest.raises(FerEdgeError, match="not a video that can be read"):
        _drain(VideoFile(path))
    assert capfd.readouterr().err == ""


def test_a_video_cut_off_in_the_middle_is_refused(clip, tmp_path):
    path = tmp_path / "cut.mp4"
    path.write_bytes(clip.path.read_bytes()[: clip.path.stat().st_size // 2])
    with pytest.raises(FerEdgeError, match="not a video that can be read"):
        _drain(VideoFile(path))


def test_a_folder_given_as_video_points_to_images(tmp_path):
    with pytest.raises(FerEdgeError) as caught:
        _drain(VideoFile(tmp_path))
    assert "--images" in caught.value.hint


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three good pictures among a cut-off JPEG, a cut-off PNG, a fake one and a text file."""
    rng = np.random.default_rng(0)
    for name in ("b.jpg", "a.png", "c.JPG"):
        cv2.imwrite(str(tmp_path / name), rng.integers(0, 256, (60, 80, 3), dtype=np.uint8))
    for name in ("a.png", "b.jpg"):
        data = (tmp_path / name).read_bytes()
        (tmp_path / f"cut-{name}").write_bytes(data[: len(data) // 2])
    (tmp_path / "fake.jpg").write_text("not a picture")
    (tmp_path / "empty.png").touch()
    (tmp_path / "notes.txt").write_text("not meant")
    return tmp_path


def test_pictures_come_in_the_order_of_their_names_and_broken_ones_are_counted(pictures, capfd):
    with Pictures(pictures) as source:
        names = [frame.name for frame in source.frames()]
        counts = source.counts
    assert names == ["a.png", "b.jpg", "c.JPG"]
    assert counts.unreadable == 4
    assert [note.split(":")[0] for note in counts.notes] == [
        "cut-a.png",
        "cut-b.jpg",
        "empty.png",
        "fake.jpg",
    ]
    assert capfd.readouterr().err == ""


def test_a_thumbnails_end_marker_does_not_make_a_cut_off_jpeg_whole(pictures):
    data = (pictures / "b.jpg").read_bytes()
    thumbnail = b"\xff\xe1\x00\x08ab\xff\xd9cd"
    whole, cut = pictures / "whole.jpg", pictures / "cut.jpg"
    whole.write_bytes(data[:2] + thumbnail + data[2:])
    cut.write_bytes(whole.read_bytes()[:-40])
    assert decode_picture(whole.read_bytes()) is not None
    assert decode_picture(cut.read_bytes()) is None


@pytest.mark.parametrize("fills", [1, 2, 9])
def test_bytes_that_fill_up_before_a_jpegs_marker_are_no_damage(pictures, fills):
    data = (pictures / "b.jpg").read_bytes()
    filled = data[:2] + b"\xff" * fills + data[2:]
    assert decode_picture(filled) is not None
    assert decode_picture(filled[:-40]) is None


def test_a_folder_without_pictures_is_refused(tmp_path):
    (tmp_path / "readme.txt").touch()
    with pytest.raises(FerEdgeError, match="no pictures in"):
        _drain(Pictures(tmp_path))


def test_a_folder_of_broken_pictures_is_an_error_that_names_the_first(tmp_path):
    (tmp_path / "one.jpg").write_text("x")
    with pytest.raises(FerEdgeError, match=r"none of the 1 files .* one\.jpg"):
        _drain(Pictures(tmp_path))


def test_a_folder_of_label_folders_gives_all_their_pictures(pictures):
    (pictures / "happy").mkdir()
    (pictures / "b.jpg").rename(pictures / "happy" / "b.jpg")
    (pictures / ".hidden").mkdir()
    (pictures / "c.JPG").rename(pictures / ".hidden" / "c.jpg")
    with Pictures(pictures) as source:
        assert [frame.name for frame in source.frames()] == ["a.png", "happy/b.jpg"]


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_an_archive_gives_its_pictures_in_its_own_order(pictures, tmp_path_factory, suffix):
    path = tmp_path_factory.mktemp("packed") / f"few{suffix}"
    names = ["x/b.jpg", "notes.txt", "x/cut-a.png", "x/._b.jpg", "a.png"]
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as packed:
            for name in names:
                packed.write(pictures / Path(name).name.removeprefix("._"), name)
    else:
        with tarfile.open(path, "w:gz" if suffix == ".tar.gz" else "w") as packed:
            for name in names:
                packed.add(pictures / Path(name).name.removeprefix("._"), name)
    with Pictures(path) as source:
        assert [frame.name for frame in source.frames()] == ["x/b.jpg", "a.png"]
        assert source.counts.notes == ("x/cut-a.png: not a picture that can be read",)


@pytest.mark.parametrize("form", ["folder", "zip", "tar"])
def test_a_terminal_obeys_nothing_in_the_names_of_pictures(pictures, tmp_path_factory, form):
    path = tmp_path_factory.mktemp("odd")
    good, bad = "\x1b[31m1.jpg", "2\r\n\x9b.jpg"
    if form == "folder":
        shutil.copy(pictures / "b.jpg", path / good)
        shutil.copy(pictures / "fake.jpg", path / bad)
    elif form == "zip":
        path /= "few.zip"
        with zipfile.ZipFile(path, "w") as packed:
            packed.write(pictures / "b.jpg", good)
            packed.write(pictures / "fake.jpg", bad)
    else:
        path /= "few.tar"
        with tarfile.open(path, "w") as packed:
            packed.add(pictures / "b.jpg", good)
            packed.add(pictures / "fake.jpg", bad)
    with Pictures(path) as source:
        assert [frame.name for frame in source.frames()] == [r"\x1b[31m1.jpg"]
        (note,) = source.counts.notes
    assert note == r"2\r\n\x9b.jpg: not a picture that can be read"


def test_one_picture_is_enough_whatever_its_name_ends_in(pictures):
    (pictures / "b.jpg").rename(pictures / "face")
    with Pictures(pictures / "face") as source:
        (frame,) = source.frames()
    assert (frame.name, frame.gray.shape) == ("face", (60, 80))
    with pytest.raises(FerEdgeError, match=r"notes\.txt is not a picture") as caught:
        _drain(Pictures(pictures / "notes.txt"))
    assert "--video" in caught.value.hint


def test_a_damaged_archive_is_named(pictures):
    (pictures / "few.zip").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(FerEdgeError, match=r"few\.zip is damaged"):
        _drain(Pictures(pictures / "few.zip"))


@pytest.mark.timeout(5)
def test_a_pipe_is_refused_and_one_in_a_folder_left_out(pictures):
    pipe = pictures / "pipe.png"
    os.mkfifo(pipe)
    with pytest.raises(FerEdgeError, match=r"pipe\.png is a pipe, not a file") as caught:
        _drain(Pictures(pipe))
    assert "to a file first" in caught.value.hint
    with pytest.raises(FerEdgeError, match="is a device or a socket, not a file"):
        _drain(Pictures(Path("/dev/null")))
    with Pictures(pictures) as source:
        assert [frame.name for frame in source.frames()] == ["a.png", "b.jpg", "c.JPG"]
        assert not any("pipe" in note for note in source.counts.notes)


def test_no_such_folder_is_named(tmp_path):
    with pytest.raises(FerEdgeError, match=r"there is no file or folder .*gone"):
        _drain(Pictures(tmp_path / "gone"))


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
