"""Where frames come from, and what is said when none come."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.device.sources import Source, open_source
from fer_edge.device.sources.images import ImageFolder, read_picture
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


def test_a_video_that_ends_before_its_header_says_so_is_reported(clip, monkeypatch):
    class Longer:
        def __init__(self, *arguments):
            self.inner = real(*arguments)

        def get(self, what):
            return 100.0 if what == cv2.CAP_PROP_FRAME_COUNT else self.inner.get(what)

        def __getattr__(self, name):
            return getattr(self.inner, name)

    real = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", Longer)
    source = VideoFile(clip.path)
    assert len(_drain(source)) == 24
    assert source.counts.unreadable == 76


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
    with ImageFolder(pictures) as source:
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
    assert read_picture(whole) is not None
    assert read_picture(cut) is None


def test_a_folder_without_pictures_is_refused(tmp_path):
    (tmp_path / "readme.txt").touch()
    with pytest.raises(FerEdgeError, match="no pictures in"):
        _drain(ImageFolder(tmp_path))


def test_a_folder_of_broken_pictures_is_an_error_that_names_the_first(tmp_path):
    (tmp_path / "one.jpg").write_text("x")
    with pytest.raises(FerEdgeError, match=r"none of the 1 files .* one\.jpg"):
        _drain(ImageFolder(tmp_path))


def test_no_such_folder_is_named(tmp_path):
    with pytest.raises(FerEdgeError, match="no such folder"):
        _drain(ImageFolder(tmp_path / "gone"))


def test_no_camera_is_said_at_once_with_the_numbers_that_exist(tmp_path):
    (tmp_path / "dev").mkdir()
    with pytest.raises(FerEdgeError, match="no camera at /dev/video0"):
        _drain(UsbCamera(0, root=tmp_path))
    (tmp_path / "dev/video7").touch()
    with pytest.raises(FerEdgeError) as caught:
        _drain(UsbCamera(0, root=tmp_path))
    assert "video7" in caught.value.hint


def test_a_node_that_is_no_camera_is_refused(tmp_path, capfd):
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/video41").touch()
    with pytest.raises(FerEdgeError, match="/dev/video41 does not open"):
        _drain(UsbCamera(41, root=tmp_path))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("named", [{}, {"video": Path("a"), "camera": 0}])
def test_exactly_one_source_has_to_be_named(named):
    with pytest.raises(FerEdgeError, match="name one source"):
        open_source(**named)
