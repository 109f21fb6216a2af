"""Videos as a source: every frame once, with its time, and what a damaged one is told."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from matroska import record

from fer_edge.device.sources import Source
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
