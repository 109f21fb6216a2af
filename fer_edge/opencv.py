"""OpenCV, imported once, checked and kept quiet."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from types import ModuleType

from fer_edge.errors import FerEdgeError, require_extra

PIN = "opencv-python-headless>=4.10,<5"
"""OpenCV 5 wheels have neither the cascade classifier nor its files."""

_SILENT = 0
"""OpenCV's LOG_LEVEL_SILENT."""


@cache
def load_opencv() -> ModuleType:
    """Import cv2 with its own and FFmpeg's messages switched off: ours say what matters.

    Raises:
        FerEdgeError: OpenCV is not installed, does not load, or is too new for Haar cascades.
    """
    require_extra("cv2", "device")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET
    try:
        import cv2
    except ImportError as error:
        raise FerEdgeError(
            f"OpenCV is installed but does not load: {error}", f"reinstall it: pip install '{PIN}'"
        ) from error
    if not hasattr(cv2, "CascadeClassifier"):
        raise FerEdgeError(
            f"OpenCV {cv2.__version__} has no Haar cascades", f"install one: pip install '{PIN}'"
        )
    # another module may have imported it before the variables were set; up to 4.11, the newest for
    # numpy 1, the function is not in a module of its own
    getattr(cv2.utils, "logging", cv2).setLogLevel(_SILENT)
    module: ModuleType = cv2
    return module


def opencv_path(path: Path) -> str:
    """A file's name as OpenCV takes it, and as FFmpeg behind it takes it for a file's.

    Raises:
        FerEdgeError: it is not UTF-8, of which OpenCV's Python module dies.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        raise FerEdgeError(f"the name of {shown} is not UTF-8", "rename the file") from error
    # what stands before a colon FFmpeg takes for a protocol, unless a slash comes first
    return str(path) if path.is_absolute() else f"./{path}"
