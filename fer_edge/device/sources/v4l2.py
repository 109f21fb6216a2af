"""A USB camera, through OpenCV and V4L2."""

from __future__ import annotations

import fcntl
import os
import struct
import time
from pathlib import Path
from typing import Any

from fer_edge.device.sources.capture import CaptureCamera
from fer_edge.errors import FerEdgeError
from fer_edge.opencv import load_opencv

SIZE = (640, 480)
"""Width and height that are asked for; the camera may answer with its nearest."""

_QUERYCAP = 0x80685600
"""The V4L2 request that every video node answers, with 104 bytes about itself."""
_VIDEO_CAPTURE = 1
_RIBBON_DRIVERS = frozenset({"unicam", "rp1-cfe", "bcm2835-isp", "pispbe"})
"""Of a Raspberry Pi: their nodes capture, but what libcamera makes pictures of."""
_BELIEVABLE_S = 10.0


class UsbCamera(CaptureCamera):
    """A video node such as /dev/video0, or a link to one such as those in /dev/v4l/by-id."""

    remedy = "check its cable and its power supply"

    def __init__(
        self, node: str, *, colour: bool = False, timeout: float = 2.0, root: Path = Path("/")
    ) -> None:
        """``timeout`` in seconds for one frame; ``colour`` keeps the colour picture.

        Args:
            node: an absolute path.
            root: where /dev is looked for.
        """
        super().__init__(node, colour=colour, timeout=timeout)
        self._root = root
        self._path = root / node.lstrip("/")

    def _connect(self) -> Any:
        # OpenCV waits ten seconds otherwise, and reads this when it opens the first camera
        os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(max(1, round(self.timeout))))
        cv2 = load_opencv()
        if not self._path.exists():
            found = [f"{node} ({name})" for node, name in find_usb_cameras(self._root).items()]
            raise FerEdgeError(
                f"no camera at {self.name}",
                f"there is {', '.join(found)}"
                if found
                else "plug one in, and see what 'fer-edge doctor' says",
            )
        if not os.access(self._path, os.R_OK | os.W_OK):
            raise FerEdgeError(
                f"{self.name} may not be read by this user",
                "add the user to its group and log in again: sudo usermod -aG video $USER",
            )
        capture = cv2.VideoCapture(str(self._path.resolve()), cv2.CAP_V4L2)
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, SIZE[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, SIZE[1])
        return capture

    def _why_not(self) -> FerEdgeError:
        if _camera_name(self._path) is not None:
            return FerEdgeError(
                f"{self.name} is busy",
                f"close the program that uses it; 'fuser {self.name}' shows which",
            )
        return FerEdgeError(
            f"{self.name} is not a camera", "'v4l2-ctl --list-devices' shows which nodes are"
        )

    def _sensor_ns(self) -> int | None:
        """The driver's timestamp, where it is of CLOCK_MONOTONIC, as UVC's are."""
        stamp = self._capture.get(load_opencv().CAP_PROP_POS_MSEC) / 1e3
        age = time.monotonic() - stamp
        if not 0 < age < _BELIEVABLE_S:
            return None
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - round(age * 1e9)


def find_usb_cameras(root: Path = Path("/")) -> dict[str, str]:
    """What the nodes below /dev that are cameras call themselves, by node.

    Most of a Raspberry Pi's nodes are none: its codecs, and the parts of a ribbon camera.
    """
    nodes = sorted((root / "dev").glob("video*"), key=lambda node: (len(node.name), node.name))
    named = {f"/dev/{node.name}": _camera_name(node) for node in nodes}
    return {node: name for node, name in named.items() if name is not None}


def _camera_name(node: Path) -> str | None:
    """Ask a video node what it calls itself; None of one that decodes, or carries metadata."""
    answer = bytearray(104)
    try:
        descriptor = os.open(node, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.ioctl(descriptor, _QUERYCAP, answer)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    # struct v4l2_capability: driver, card, bus, version, capabilities, those of this very node
    driver, card, capabilities = struct.unpack_from("=16s32s40xI", answer)
    if not capabilities & _VIDEO_CAPTURE or _text(driver) in _RIBBON_DRIVERS:
        return None
    return _text(card) or node.name


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "replace")
