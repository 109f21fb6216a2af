"""Where frames come from: a camera, a video file, pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fer_edge.device.sources.base import FAULTS, Frame, Source, SourceCounts
from fer_edge.device.sources.camera import Camera
from fer_edge.device.sources.images import SUFFIXES, Pictures
from fer_edge.device.sources.live import LiveSource
from fer_edge.device.sources.picamera import PiCamera, picamera2_available
from fer_edge.device.sources.stream import NetworkCamera, address_in, refuse_address
from fer_edge.device.sources.v4l2 import UsbCamera
from fer_edge.device.sources.video import VideoFile
from fer_edge.errors import FerEdgeError

__all__ = [
    "FAULTS",
    "Frame",
    "LiveSource",
    "Source",
    "SourceCounts",
    "address_in",
    "find_camera",
    "open_source",
    "option_for",
    "refuse_address",
]

_OPTIONS = dict.fromkeys((*SUFFIXES, ".zip", ".tar", ".tgz", ".gz"), "--images")
_OPTIONS |= dict.fromkeys((".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg"), "--video")
"""What a file is named with, by its suffix."""


def open_source(
    *,
    video: Path | None = None,
    images: Path | None = None,
    camera: str | None = None,
    colour: bool = False,
    report: Callable[[str], None] = lambda text: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Source:
    """Return the one source that was named, not yet entered.

    Args:
        video: a video file.
        images: a picture, or a folder or an archive of pictures.
        camera: see ``find_camera``.
        colour: whether frames are to carry the colour picture, for drawing.
        report: is told of a camera's faults as they happen, one line each.
        stopped: whether somebody wants the run to end; asked while a camera gives no frame.

    Raises:
        FerEdgeError: none was named, or more than one, or the camera's name means nothing.
    """
    if sum(choice is not None for choice in (video, images, camera)) != 1:
        raise FerEdgeError(
            "name one source of frames",
            "use --camera, or --video FILE, or --images with a picture, a folder or an archive",
        )
    if video is not None:
        return VideoFile(video, colour=colour)
    if images is not None:
        return Pictures(images, colour=colour)
    assert camera is not None
    return LiveSource(find_camera(camera, colour=colour), report=report, stopped=stopped)


def option_for(path: Path) -> str | None:
    """``--images`` or ``--video`` for what may be named with it; None for anything else."""
    if path.is_dir():
        holds_pictures = any(each.suffix.lower() in SUFFIXES for each in path.rglob("*"))
        return "--images" if holds_pictures and not (path / "data.json").exists() else None
    return _OPTIONS.get(path.suffix.lower()) if path.is_file() else None


def find_camera(name: str, *, colour: bool = False) -> Camera:
    """Return the camera that is called so, not yet open.

    Args:
        name: a number, read through picamera2 where that is installed and as /dev/videoN
            elsewhere; a path in /dev; or an address: rtsp, rtsps, http or https.
        colour: whether its frames are to carry the colour picture.

    Raises:
        FerEdgeError: it is none of these.
    """
    if name.isdecimal():
        if picamera2_available():
            return PiCamera(int(name), colour=colour)
        return UsbCamera(f"/dev/video{int(name)}", colour=colour)
    if name.startswith("/dev/"):
        return UsbCamera(name, colour=colour)
    if "://" in name:
        return NetworkCamera(name, colour=colour)
    raise FerEdgeError(
        f"no camera is called '{address_in(name) or name}'",
        "give a number, a node such as /dev/video0, or an rtsp:// or http:// address",
    )
