"""Frames of a Raspberry Pi camera, through picamera2."""

from __future__ import annotations

import gc
import importlib.util
import os
import time
from collections.abc import Generator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import numpy as np

from fer_edge.device.opencv import load_opencv
from fer_edge.device.sources.base import Frame, SourceCounts
from fer_edge.errors import FerEdgeError
from fer_edge.face import Pixels

SIZE = (640, 480)
"""Width and height of both streams, so that boxes fit the colour picture as well."""


def picamera2_available() -> bool:
    """Whether picamera2 is installed; it comes from apt, never from pip."""
    return importlib.util.find_spec("picamera2") is not None


class PiCamera:
    """Camera ``number`` of libcamera, its luma plane used in place.

    A capture that times out would otherwise stay queued and swallow a buffer, so after each one
    the queue is flushed; then the camera is restarted, then opened anew, and after that the run
    ends with an error for whoever supervises it.
    """

    live = True

    def __init__(self, number: int = 0, *, colour: bool = False, timeout: float = 2.0) -> None:
        """``timeout`` in seconds for one frame; ``colour`` adds a second stream, for drawing."""
        self.number = number
        self.name = f"camera {number}"
        self.fps: float | None = 30.0
        self._colour = colour
        self._timeout = timeout
        self._camera: Any = None
        self._dropped: int | None = None
        self._recoveries = 0

    def __enter__(self) -> Self:
        os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:FATAL")
        self._open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    @property
    def counts(self) -> SourceCounts:
        """Dropped frames, from the gaps between the sensor's own timestamps."""
        notes = (f"{self.name} stalled; recovery steps taken: {self._recoveries}",)
        return SourceCounts(dropped=self._dropped, notes=notes if self._recoveries else ())

    def frames(self) -> Generator[Frame]:
        """Yield frames until the camera is beyond recovery, which raises FerEdgeError."""
        from picamera2 import MappedArray

        index, previous = 0, None
        while True:
            request = self._capture()
            try:
                started = time.perf_counter()
                metadata = request.get_metadata()
                sensor = metadata.get("SensorTimestamp")
                missed = _missed_frames(previous, sensor, metadata.get("FrameDuration"))
                previous = sensor
                if missed is not None:
                    self._dropped = (self._dropped or 0) + missed
                    index += missed
                colour = self._colour_picture(request) if self._colour else None
                width, height = self._camera.camera_configuration()["lores"]["size"]
                with MappedArray(request, "lores", write=False) as mapped:
                    gray = mapped.array[:height, :width]  # the stride may be wider
                    ready = time.perf_counter()
                    yield Frame(
                        index=index,
                        gray=gray,
                        captured=ready,
                        capture_ms=(ready - started) * 1e3,
                        sensor_ns=sensor,
                        colour=colour,
                    )
                    del gray
            finally:
                request.release()
            index += 1

    def _open(self) -> None:
        from libcamera import ColorSpace
        from picamera2 import Picamera2

        try:
            self._camera = Picamera2(self.number)
        except (RuntimeError, IndexError) as error:
            cause = str(error.__cause__ or error)
            if "busy" in cause.lower():
                raise FerEdgeError(
                    f"{self.name} is busy", "close the program that uses it"
                ) from error
            raise FerEdgeError(
                f"no {self.name}: {cause}",
                "check the ribbon cable; 'rpicam-hello --list-cameras' shows what is connected",
            ) from error
        config = self._camera.create_video_configuration(
            main={"size": SIZE, "format": "RGB888" if self._colour else "YUV420"},
            lores={"size": SIZE, "format": "YUV420"},
            # video configurations default to limited range (16–235); models are trained on full
            colour_space=ColorSpace.Sycc(),
            buffer_count=4,
            queue=False,
            controls={"FrameRate": self.fps},
        )
        self._camera.configure(config)
        self._camera.start()

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

    def _close(self) -> None:
        if self._camera is None:
            return
        camera, self._camera = self._camera, None
        try:
            camera.close()
        except BufferError:
            # somebody still looks at the last frame's buffer; the view dies with the collection
            gc.collect()
            with suppress(BufferError):
                camera.close()

    def _capture(self) -> Any:
        for recover in (self._flush, self._restart, self._reopen, None):
            try:
                return self._camera.capture_request(wait=self._timeout)
            except TimeoutError:
                if recover is None:
                    break
                recover()
                self._recoveries += 1
        raise FerEdgeError(
            f"{self.name} gave no frame for {self._timeout:g} s, nor after a restart",
            "check the ribbon cable and the power supply",
        )

    def _flush(self) -> None:
        self._camera.cancel_all_and_flush()

    def _restart(self) -> None:
        self._camera.cancel_all_and_flush()
        self._camera.stop()
        self._camera.start()

    def _reopen(self) -> None:
        self._camera.cancel_all_and_flush()
        self._close()
        self._open()


def _missed_frames(previous: int | None, now: int | None, duration_us: int | None) -> int | None:
    """Frames between two sensor timestamps in ns, by the frame duration in µs; None if unknown."""
    if previous is None or now is None or not duration_us:
        return None
    return max(0, round((now - previous) / (duration_us * 1000)) - 1)
