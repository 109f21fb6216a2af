"""Face detectors: a gray plane in, face boxes out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fer_edge.bundle.minisign import PublicKey
from fer_edge.bundle.trust import with_package_key
from fer_edge.detection.own import OwnDetector
from fer_edge.device.detectors.base import Detector
from fer_edge.device.detectors.haar import HaarDetector
from fer_edge.device.detectors.ssd import SsdDetector
from fer_edge.device.detectors.yunet import YuNetDetector
from fer_edge.device.model_store import YUNET_FILE, is_stored, stored
from fer_edge.errors import FerEdgeError
from fer_edge.shipped import DETECTOR_FILE, shipped_detector

__all__ = [
    "Detector",
    "HaarDetector",
    "OwnDetector",
    "SsdDetector",
    "YuNetDetector",
    "detector_file",
    "open_detector",
]


def open_detector(
    choice: str | None = None,
    *,
    min_face: float = 0.15,
    keys: Sequence[PublicKey] | None = None,
) -> Detector:
    """Open a face detector.

    Args:
        choice: "haar", "yunet" (as ``fer-edge doctor --get yunet`` got it), "own" (``detector.fer``
            in ./bundles or here, else the one that ships), or a file: our own detector's bundle
            (.fer), a cascade (.xml), YuNet (.onnx), or BlazeFace or another SSD (.tflite). None
            takes our own where it ships, else YuNet where it was got, else Haar.
        min_face: smallest face, as a fraction of the frame's shorter side, above 0 to 1.
        keys: of which one must have signed a bundle; None takes those that this machine trusts.

    Raises:
        FerEdgeError: no such detector, its file is missing or of another kind, or ``min_face`` is
            out of range.
    """
    choice = _usual() if choice is None else choice
    path = detector_file(choice)
    if path is None:
        return HaarDetector(min_face=min_face)
    if choice == "yunet":
        return YuNetDetector(path, min_face=min_face, name="yunet")
    if choice == "own":
        # what --key names is for the bundle that is run; the detector beside it ships
        keys = None if keys is None else with_package_key(path, keys)
        return OwnDetector(path, min_face=min_face, name="own", keys=keys)
    if path.suffix == ".xml":
        return HaarDetector(min_face=min_face, cascade=path)
    if path.suffix == ".onnx":
        return YuNetDetector(path, min_face=min_face)
    if path.suffix == ".fer":
        return OwnDetector(path, min_face=min_face, keys=keys)
    if path.suffix == ".tflite":
        return SsdDetector(path, min_face=min_face)
    raise FerEdgeError(
        f"no face detector '{choice}'",
        "use haar, yunet, own, or a .fer, .xml, .onnx or .tflite file",
    )


def detector_file(choice: str | None) -> Path | None:
    """The file of a detector that ``open_detector`` opens; None of the cascade in OpenCV."""
    choice = _usual() if choice is None else choice
    if choice == "haar":
        return None
    if choice == "yunet":
        return stored(YUNET_FILE)
    return _own() if choice == "own" else Path(choice)


def _usual() -> str:
    """What is chosen where nobody chooses."""
    if shipped_detector():
        return "own"
    return "yunet" if is_stored(YUNET_FILE) else "haar"


def _own() -> Path:
    """Where the package's own detector lies."""
    for place in (Path("bundles") / DETECTOR_FILE, Path(DETECTOR_FILE), shipped_detector()):
        if place is not None and place.is_file():
            return place
    raise FerEdgeError(
        f"there is no {DETECTOR_FILE} in ./bundles or here, and none came with the package",
        "make one (fer-edge train detector, then fer-edge export), or use haar",
    )
