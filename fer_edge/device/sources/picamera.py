"""A Raspberry Pi's camera, through picamera2."""

from __future__ import annotations

import gc
import importlib.util
import logging
import os
import time
from concurrent.futures import CancelledError
from contextlib import ExitStack, suppress
from typing import Any

import numpy as np

from fer_edge.device.sources.camera import Camera, CameraStalled, Shot
from fer_edge.errors import FerEdgeError
from fer_edge.face import Pixels
from fer_edge.opencv import load_opencv

SIZE = (640, 480)
"""Width and height of both streams, so that boxes fit the colour picture as well."""

_RATE = 30.0


def picamera2_available() -> bool:
    """Whether picamera2 is installed; it comes from apt, never from pip."""
    return importlib.util.find_spec("picamera2") is not None


def find_ribbon_cameras() -> list[str]:
    """The models of the sensors that libcamera finds, such as imx708; USB cameras are none.

    Raises:
        FerEdgeError: picamera2 does not load, or libcamera does not answer.
    """
    picamera2 = _load()
    try:
        found = picamera2.global_camera_info()
    except RuntimeError as error:
        raise FerEdgeError(
            f"libcamera does not say which cameras there are: {error}",
            "see what 'rpicam-hello --list-cameras' says",
        ) from error
    return [str(camera["Model"]) for camera in found if "usb" not in str(camera.get("Id")).lower()]


def _load() -> Any:
    """The class ``Picamera2``; raises FerEdgeError: it is installed but does not load."""
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:FATAL")
    logging.getLogger("picamera2").setLevel(logging.CRITICAL)  # ours say what matters
    try:
        from picamera2 import Picamera2
    except (ImportError, ValueError) as error:  # numpy says ValueError of another numpy's users
        raise FerEdgeError(
            f"picamera2 is installed but does not load: {error}",
            "it goes with apt's numpy: use an environment made by device/install.sh, or one "
            "with --system-site-packages and no numpy of its own",
        ) from error
    return Picamera2


class PiCamera(Camera):
    """Camera ``number`` of libcamera, its luma plane used in place."""

    remedy = "check the ribbon cable and the power supply"

    def __init__(self, number: int = 0, *, colour: bool = False, timeout: float = 2.0) -> None:
        """``timeout`` in seconds for one frame; ``colour`` adds a second stream, for drawing."""
        self.name = f"camera {number}"
        self.timeout = timeout
        self.fps = _RATE
        self._number = number
        self._colour = colour
        self._camera: Any = None
        self._exposed: int | None = None

    def open(self) -> None:
        """Configure and start the camera; raises FerEdgeError: none, busy, or of another kind."""
        picamera2 = _load()
        self._exposed = None
        try:
            self._camera = picamera2(self._number)
        except (RuntimeError, IndexError) as error:
            cause = str(error.__cause__ or error).partition(" - ")[0]
            if "busy" in cause.lower():
                raise FerEdgeError(
                    f"{self.name} is busy", "close the program that uses it"
                ) from error
            raise FerEdgeError(
                f"no {self.name}: {cause}",
                "check the ribbon cable; 'rpicam-hello --list-cameras' shows what is connected; "
                "a USB camera is named by its node: --camera /dev/video0",
            ) from error
        try:
            self._start()
        except RuntimeError as error:
            self.close()
            raise FerEdgeError(
                f"{self.name} cannot give {SIZE[0]}×{SIZE[1]} luma: {error}",
                "a USB camera is named by its node: --camera /dev/video0",
            ) from error

    def read(self) -> Shot:
        """Wait for a frame; raises CameraStalled after ``timeout``."""
        request = self._capture()
        started = time.perf_counter()
        with ExitStack() as held:
            held.callback(_give_back, request)
            metadata = request.get_metadata()
            colour = self._colour_picture(request) if self._colour else None
            gray = self._luma(request, held)
            exposed = metadata.get("SensorTimestamp")
            missed = _missed(self._exposed, exposed, metadata.get("FrameDuration"))
            self._exposed = exposed
            ready = time.perf_counter()
            return Shot(
                gray=gray,
                ready=ready,
                work_ms=(ready - started) * 1e3,
                release=held.pop_all().close,
                missed=missed,
                sensor_ns=exposed,
                colour=colour,
            )

    def restart(self) -> None:
        """Stop and start, without letting go of the camera; raises FerEdgeError: it cannot."""
        self._exposed = None
        try:
            self._camera.stop()
            self._camera.start()
        except RuntimeError as error:
            raise FerEdgeError(f"{self.name} cannot be started: {error}", self.remedy) from error

    def close(self) -> None:
        """Stop and let go of the camera."""
        if self._camera is None:
            return
        camera, self._camera = self._camera, None
        with suppress(RuntimeError):  # one that was unplugged cannot be released either
            camera.close()
        del camera
        gc.collect()  # it is part of cycles that hold descriptors

    def _start(self) -> None:
        from libcamera import ColorSpace

        config = self._camera.create_video_configuration(
            main={"size": SIZE, "format": "RGB888" if self._colour else "YUV420"},
            lores={"size": SIZE, "format": "YUV420"},
            # video configurations default to limited range (16–235); models are trained on full
            colour_space=ColorSpace.Sycc(),
            # one is worked on, one waits, one is being mapped: three are left to the camera
            buffer_count=6,
            queue=False,
            controls={"FrameRate": _RATE},
        )
        self._camera.configure(config)
        self._camera.start()

    def _capture(self) -> Any:
        job = self._camera.capture_request(wait=False)
        with suppress(TimeoutError):
            return job.get_result(timeout=self.timeout)
        # a job that stays queued would swallow a buffer later on
        self._camera.cancel_all_and_flush()
        self._exposed = None
        with suppress(TimeoutError, CancelledError):
            return job.get_result(timeout=self.timeout)  # it came at the last moment
        raise CameraStalled(f"gave no frame for {self.timeout:g} s")

    def _luma(self, request: Any, held: ExitStack) -> Pixels:
        """The Y plane, in place: the first rows of YUV420 and NV12 alike."""
        from picamera2 import MappedArray

        width, height = self._camera.camera_configuration()["lores"]["size"]
        mapped = held.enter_context(MappedArray(request, "lores", write=False))
        plane = mapped.array[:height, :width]  # the stride may be wider
        return np.asarray(_Borrowed(plane, self._camera.allocator))

    def _colour_picture(self, request: Any) -> Pixels:
        """The main stream as (H, W, 3) uint8, blue first, in memory of its own."""
        cv2 = load_opencv()
        # what was asked for is not always what a camera gives
        stream = self._camera.camera_configuration()["main"]
        width, height = stream["size"]
        array = request.make_array("main")
        conversions = {"YUV420": cv2.COLOR_YUV2BGR_I420, "NV12": cv2.COLOR_YUV2BGR_NV12}
        if stream["format"] in conversions:
            array = cv2.cvtColor(array, conversions[stream["format"]])
        # "RGB888" is blue, green, red in memory
        return np.ascontiguousarray(array[:height, :width, :3])


class _Borrowed:
    """Pixels in a camera's buffer; whoever looks at them keeps the allocator of the buffer alive.

    An allocator that is let go of earlier cannot unmap that buffer, and leaks all of them.
    """

    def __init__(self, plane: Pixels, allocator: object) -> None:
        self.__array_interface__ = plane.__array_interface__
        self._alive = (allocator, plane)  # taken apart from its end: first the view


def _give_back(request: Any) -> None:
    with suppress(RuntimeError):  # the camera was stopped at this very moment
        request.release()


def _missed(previous: int | None, now: int | None, duration_us: int | None) -> int:
    """Frames between two sensor timestamps in ns, by the frame duration in µs; 0 if unknown."""
    if previous is None or now is None or not duration_us:
        return 0
    return max(0, round((now - previous) / (duration_us * 1000)) - 1)
