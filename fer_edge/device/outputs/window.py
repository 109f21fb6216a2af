"""The frames with their faces drawn in, in a window."""

from __future__ import annotations

import os
from typing import Any

from fer_edge.device.outputs.base import Output, OutputClosed
from fer_edge.device.outputs.drawing import annotated
from fer_edge.device.pipeline import Result
from fer_edge.errors import FerEdgeError
from fer_edge.opencv import load_opencv

_TITLE = "fer-edge (q closes)"
_QUIT = frozenset({ord("q"), 27})


class Window(Output):
    """Shows every frame as it is done; q or Escape ends the run."""

    def open(self) -> None:
        # without a display, Qt would end the whole process
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise FerEdgeError(
                "there is no display for a window", "leave out --show, or use --save FILE instead"
            )
        cv2 = load_opencv()
        try:
            cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        except cv2.error as error:
            raise FerEdgeError(
                "this OpenCV was built without windows",
                "pip uninstall opencv-python-headless, then pip install 'opencv-python>=4.10,<5'; "
                "or use --save FILE instead",
            ) from error

    def close(self) -> None:
        load_opencv().destroyAllWindows()

    def write(self, result: Result) -> None:
        """Show one frame."""
        cv2 = load_opencv()
        cv2.imshow(_TITLE, annotated(result))
        if cv2.waitKey(1) & 0xFF in _QUIT:
            raise OutputClosed

    def finish(self, summary: dict[str, Any]) -> None:
        """Nothing to do: the window closes with the run."""
