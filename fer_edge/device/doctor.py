"""What this machine has, what it lacks, and how to get it; works on a base install."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fer_edge import __version__
from fer_edge.board import FULL_CLOCK, Board, Health, read_board, read_health
from fer_edge.bundle import open_bundle
from fer_edge.device.classifier import newest_bundle
from fer_edge.device.install import CURRENT, installed_folder, installed_keys
from fer_edge.device.model_store import MODELS, YUNET_FILE, fetch, is_stored, stored
from fer_edge.device.sources.picamera import find_ribbon_cameras
from fer_edge.device.sources.v4l2 import find_usb_cameras
from fer_edge.errors import FerEdgeError
from fer_edge.opencv import PIN, load_opencv
from fer_edge.runtime import import_runtime
from fer_edge.shipped import default_model, shipped_detector

State = Literal["ok", "warning", "missing", "absent"]
"""Missing is what ``fer-edge run`` needs; absent is what it can do without."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    topic: str
    state: State
    detail: str
    remedy: str = ""
    """What to do about it; empty when nothing is to be done."""


@dataclass(frozen=True)
class Report:
    """Everything that was found out about this machine."""

    board: Board
    health: Health
    findings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "fer_edge": __version__,
            "python": platform.python_version(),
            "board": self.board.to_dict(),
            "health": self.health.to_dict(),
            "findings": [asdict(finding) for finding in self.findings],
        }


def examine(root: Path = Path("/")) -> Report:
    """Look at this machine; ``root`` is where /proc, /sys, /etc and /dev are looked for."""
    board, health = read_board(root), read_health(root)
    findings = (
        _python(),
        *_opencv(),
        _detector(),
        _runtime(),
        _stage("training", "train", ("keras", "tensorflow", "matplotlib", "pydantic", "tomli_w")),
        _stage("export", "export", ("tf2onnx", "onnx", "onnxruntime")),
        _pi_camera(board),
        _usb_cameras(root),
        _memory(board),
        *_health(health),
        _bundles(),
    )
    return Report(board, health, findings)


def print_findings(*, as_json: bool = False) -> None:
    """Print what ``examine`` finds, as a table or as one JSON object."""
    report = examine()
    if as_json:
        print(json.dumps(report.to_dict(), ensure_ascii=False))
        return
    console = Console()
    console.print(escape(f"fer-edge {__version__} on {report.board}"), highlight=False)
    table = Table(box=None, pad_edge=False)
    for column in ("", "what", "found", "what to do"):
        table.add_column(column, overflow="fold")
    colours = {"ok": "green", "warning": "yellow", "missing": "red", "absent": "dim"}
    for finding in report.findings:
        texts = (finding.topic, finding.detail, finding.remedy)
        mark = f"[{colours[finding.state]}]{finding.state}[/]"
        table.add_row(mark, *(escape(text) for text in texts))
    console.print(table)


def get_model(name: str) -> None:
    """Fetch a model by its name and say where it lies.

    Raises:
        FerEdgeError: no such model, or it cannot be fetched whole.
    """
    model = MODELS.get(name)
    if model is None:
        raise FerEdgeError(f"no model '{name}' to get", f"there is {', '.join(MODELS)}")
    path, is_new = fetch(model)
    how = "from OpenCV's model zoo" if is_new else "was there already"
    print(f"{name} ({model.licence} licence) {how}, SHA-256 verified: {path}")


def _python() -> Finding:
    version = platform.python_version()
    bits = "64-bit" if sys.maxsize > 2**32 else "32-bit"
    if bits == "32-bit":
        return Finding(
            "Python",
            "warning",
            f"{version}, {bits}: LiteRT has no wheels for it",
            "install the 64-bit Raspberry Pi OS",
        )
    return Finding("Python", "ok", f"{version}, {bits}, numpy {np.__version__}")


def _opencv() -> Iterator[Finding]:
    try:
        cv2 = load_opencv()
    except FerEdgeError as error:
        yield Finding("OpenCV", "missing", error.message, error.hint)
        return
    yield Finding("OpenCV", "ok", f"{cv2.__version__}, {cv2.getNumThreads()} threads")
    yield _windows(cv2.getBuildInformation().splitlines())


def _windows(build: list[str]) -> Finding:
    topic = "window (--show)"
    toolkit = next((line.split(":")[1].strip() for line in build if "GUI:" in line), "NONE")
    if toolkit == "NONE":
        return Finding(
            topic,
            "absent",
            "this OpenCV has no windows",
            f"if wanted: pip uninstall {PIN.split('>')[0]}; pip install 'opencv-python>=4.10,<5'",
        )
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return Finding(topic, "absent", "no display", "log in at the desktop")
    return Finding(topic, "ok", toolkit)


def _detector() -> Finding:
    if shipped_detector():
        return Finding("face detector", "ok", "own, which came with the package")
    if is_stored(YUNET_FILE):
        return Finding("face detector", "ok", f"yunet, {stored(YUNET_FILE)}")
    return Finding(
        "face detector",
        "ok",
        "haar, which comes with OpenCV",
        "for a better and faster one: fer-edge doctor --get yunet",
    )


def _runtime() -> Finding:
    found = [
        f"{distribution} {version}"
        for module, distribution in (
            ("ai_edge_litert", "ai-edge-litert"),
            ("tflite_runtime", "tflite-runtime"),
            ("onnxruntime", "onnxruntime"),
        )
        if (version := _version(module, distribution))
    ]
    if found:
        try:
            import_runtime(".tflite" if "onnx" not in found[0] else ".onnx")
        except FerEdgeError as error:
            return Finding("model runtime", "missing", error.message, error.hint)
        return Finding("model runtime", "ok", ", ".join(found))
    return Finding(
        "model runtime", "missing", "no LiteRT, no ONNX Runtime", "pip install 'fer-edge[device]'"
    )


def _stage(topic: str, extra: str, modules: tuple[str, ...]) -> Finding:
    lacking = [module for module in modules if find_spec(module) is None]
    if lacking:
        return Finding(
            topic,
            "absent",
            f"without {', '.join(lacking)}; a device does not need it",
            f"where it is wanted: pip install 'fer-edge[{extra}]'",
        )
    return Finding(topic, "ok", ", ".join(f"{name} {_version(name, name)}" for name in modules))


def _pi_camera(board: Board) -> Finding:
    if version := _version("picamera2", "picamera2"):
        return _ribbon_cameras(f"picamera2 {version}")
    if board.model is None or "Raspberry Pi" not in board.model:
        return Finding("Pi camera", "absent", "no picamera2; only a Raspberry Pi needs it")
    return Finding(
        "Pi camera",
        "missing",
        "picamera2 is not visible to this Python",
        "sudo apt install python3-picamera2, and a venv made with --system-site-packages",
    )


def _ribbon_cameras(library: str) -> Finding:
    try:
        sensors = find_ribbon_cameras()
    except FerEdgeError as error:
        return Finding("Pi camera", "missing", error.message, error.hint)
    if sensors:
        return Finding("Pi camera", "ok", f"{', '.join(sensors)}, through {library}")
    return Finding(
        "Pi camera",
        "absent",
        f"{library}, which finds no sensor",
        "if one is wanted, check its ribbon cable: 'rpicam-hello --list-cameras' shows what is "
        "connected",
    )


def _usb_cameras(root: Path) -> Finding:
    nodes = sorted((root / "dev").glob("video*"))
    if found := find_usb_cameras(root):
        cameras = ", ".join(f"{node} ({name})" for node, name in found.items())
        return Finding("USB cameras", "ok", cameras)
    names = ", ".join(node.name for node in nodes)
    if not all(os.access(node, os.R_OK | os.W_OK) for node in nodes):
        return Finding(
            "USB cameras",
            "warning",
            f"{names}, not readable by this user",
            "sudo usermod -aG video $USER, then log in again",
        )
    none = f"none of {names} is one" if nodes else "no /dev/video*"
    return Finding("USB cameras", "absent", none, "plug one in, if one is wanted")


def _memory(board: Board) -> Finding:
    if board.memory_mib is None:
        return Finding("memory", "warning", "not known")
    return Finding("memory", "ok", f"{board.memory_mib} MiB")


def _health(health: Health) -> Iterator[Finding]:
    if health.throttle_reasons:
        yield Finding(
            "throttling",
            "warning",
            ", ".join(health.throttle_reasons),
            "use the official power supply and a cooler, and reboot before measuring",
        )
    if health.temperature_c is not None:
        hot = health.temperature_c >= 75
        yield Finding(
            "temperature",
            "warning" if hot else "ok",
            f"{health.temperature_c:.0f} °C",
            "a Raspberry Pi slows down at 80 °C: cool it" if hot else "",
        )
    if health.governor is not None:
        steady = health.governor == "performance"
        yield Finding(
            "governor",
            "ok",
            health.governor,
            "" if steady else f"for the steadiest latency: {FULL_CLOCK}",
        )


def _bundles() -> Finding:
    if refused := _refused_nearby():
        return refused
    found = [str(path) for path in sorted([*Path("bundles").glob("*.fer"), *Path().glob("*.fer")])]
    try:
        folder = installed_folder()
    except FerEdgeError as error:
        return Finding("bundles", "warning", error.message, error.hint)
    if folder is not None:
        try:
            found.append(f"{folder / CURRENT}, installed: {_described(folder / CURRENT)}")
        except FerEdgeError as error:
            hint = "go back to the one before (fer-edge bundle rollback), or install it again"
            return Finding("bundles", "warning", error.message, hint)
    if found:
        return Finding("bundles", "ok", "; ".join(found))
    return Finding(
        "bundles",
        "absent",
        "none of your own in ./bundles or here, none installed"
        + (f"; {ships.stem} is used, which ships" if (ships := default_model()) else ""),
        "make one: fer-edge export RUN --int8; or fer-edge bundle install FILE",
    )


def _refused_nearby() -> Finding | None:
    """Why ``run`` would refuse the bundle that it takes where none is named; None if it would not.

    Its golden set is left to ``run``.
    """
    try:
        newest = newest_bundle()
    except FerEdgeError:
        return None
    try:
        open_bundle(newest)
    except FerEdgeError as error:
        detail = f"{error.message}; it is what run takes where none is named"
        return Finding("bundles", "warning", detail, f"{error.hint}; or move it away")
    return None


def _described(path: Path) -> str:
    bundle = open_bundle(path, keys=installed_keys())
    version = "unsigned" if bundle.version is None else f"version {bundle.version}"
    return f"{bundle.manifest.name}, {version}"


def _version(module: str, distribution: str) -> str | None:
    """Version of an installed package, "?" when only the module is there, None when neither."""
    if find_spec(module) is None:
        return None
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "?"
