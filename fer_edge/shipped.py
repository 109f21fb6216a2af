"""The bundles that come with the package, which commands take by name."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "models"
DEFAULTS = ("edge-small", "edge-nano", "edge-base")
"""What a device runs where there is no bundle of its own: the first of these that ships."""

DETECTOR_FILE = "detector.fer"
"""The face detector, which is no model of expressions."""


def shipped_models() -> dict[str, Path]:
    """The files of those that are there, by name, the smallest first."""
    files = (file for file in FOLDER.glob("*.fer") if file.name != DETECTOR_FILE)
    ordered = sorted(files, key=lambda file: (file.stat().st_size, file.name))
    return {file.stem: file for file in ordered}


def shipped_detector() -> Path | None:
    """The face detector that comes with the package; None where none does."""
    file = FOLDER / DETECTOR_FILE
    return file if file.is_file() else None


def find_shipped(path: Path) -> Path:
    """The bundle that is meant: a path as it is, unless it names a model and is no bundle itself.

    A folder of such a name, which ``bundle extract`` makes, is meant only where it holds a run or
    installed bundles.
    """
    if path.name != str(path) or path.is_file():
        return path
    if path.is_dir() and any((path / name).exists() for name in ("data.json", "current.fer")):
        return path
    return shipped_models().get(str(path), path)


def comes_with_package(path: Path) -> bool:
    """Whether a bundle lies where the package keeps its own."""
    return path.resolve().parent == FOLDER.resolve()


def release_key() -> Path:
    """The public key of those who made the bundles that come with the package."""
    return FOLDER / "release.pub"


def default_model() -> Path | None:
    """The bundle to run where none was named and none is nearby; None where none ships."""
    models = shipped_models()
    return next((models[name] for name in DEFAULTS if name in models), None)
