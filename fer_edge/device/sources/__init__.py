"""Where frames come from: a Pi camera, a USB camera, a video file, a folder of pictures."""

from __future__ import annotations

from pathlib import Path

from fer_edge.device.sources.base import Frame, Source, SourceCounts
from fer_edge.device.sources.images import ImageFolder
from fer_edge.device.sources.picamera import PiCamera, picamera2_available
from fer_edge.device.sources.v4l2 import UsbCamera
from fer_edge.device.sources.video import VideoFile
from fer_edge.errors import FerEdgeError

__all__ = ["Frame", "Source", "SourceCounts", "open_source"]


def open_source(
    *,
    video: Path | None = None,
    images: Path | None = None,
    camera: int | None = None,
    colour: bool = False,
) -> Source:
    """Return the one source that was named, not yet entered.

    A camera is opened through picamera2 where that is installed, else through V4L2.

    Raises:
        FerEdgeError: none was named, or more than one.
    """
    if sum(choice is not None for choice in (video, images, camera)) != 1:
        raise FerEdgeError(
            "name one source of frames",
            "use --camera, or --video FILE, or --images FOLDER",
        )
    if video is not None:
        return VideoFile(video, colour=colour)
    if images is not None:
        return ImageFolder(images, colour=colour)
    assert camera is not None
    if picamera2_available():
        return PiCamera(camera, colour=colour)
    return UsbCamera(camera, colour=colour)
