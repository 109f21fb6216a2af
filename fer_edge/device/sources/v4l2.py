"""Frames of a USB camera, through OpenCV and V4L2."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fer_edge.device.opencv import load_opencv
from fer_edge.device.sources.base import Frame, SourceCounts
from fer_edge.errors import FerEdgeError

SIZE = (640, 480)
"""Width and height that are asked for; the camera may answer with its nearest."""


class UsbCamera:
    """Camera ``number``, that is /dev/videoN."""

    live = True

    def __init__(
        self, number: int = 0, *, colour: bool = False, timeout: float = 2.0, root: Path = Path("/")
    ) -> None:
        """``timeout`` in seconds for one frame; ``colour`` keeps the colour picture."""
        self.number = number
        self.name = f"/dev/video{number}"
        self.fps: float | None = None
        self._root = root
        self._colour = colour
        self._timeout = timeout
        self._capture: Any = None

    def __enter__(self) -> Self:
        # OpenCV waits ten seconds otherwise, and reads this when it opens the first camera
        os.environ.setdefault(
            "OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(max(1, round(self._timeout)))
        )
        cv2 = load_opencv()
        node = self._root / "dev" / f"video{self.number}"
        if not node.exists():
            found = sorted(path.name for path in (self._root / "dev").glob("video*"))
            raise FerEdgeError(
                f"no camera at {self.name}",
                f"there is {', '.join(found)}: give its number"
                if found
                else "plug one in, and see what 'fer-edge doctor' says",
            )
        if not os.access(node, os.R_OK | os.W_OK):
            raise FerEdgeError(
                f"{self.name} may not be read by this user",
                "add the user to its group and log in again: sudo usermod -aG video $USER",
            )
        self._capture = cv2.VideoCapture(self.number, cv2.CAP_V4L2)
        if not self._capture.isOpened():
            raise FerEdgeError(
                f"{self.name} does not open: it is busy, or not a camera",
                "close the program that uses it (fuser shows which), or give another number",
            )
        self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, SIZE[0])
        self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, SIZE[1])
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # an old frame is worth nothing
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps < 1000 else None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._capture.release()

    @property
    def counts(self) -> SourceCounts:
        """V4L2 through OpenCV does not tell how many frames it dropped."""
        return SourceCounts(dropped=None)

    def frames(self) -> Generator[Frame]:
        """Yield frames until the camera stops, which raises FerEdgeError."""
        cv2 = load_opencv()
        index = 0
        while True:
            if not self._capture.grab():  # waits for the camera
                raise FerEdgeError(
                    f"{self.name} gives no more frames", "check its cable and its power"
                )
            started = time.perf_counter()
            readable, picture = self._capture.retrieve()
            if not readable:
                raise FerEdgeError(
                    f"{self.name} gives frames that cannot be decoded", "try another USB port"
                )
            gray = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
            ready = time.perf_counter()
            yield Frame(
                index=index,
                gray=gray,
                captured=ready,
                capture_ms=(ready - started) * 1e3,
                colour=picture if self._colour else None,
            )
            index += 1
