"""What lies in a folder of installed bundles."""

from __future__ import annotations

from pathlib import Path

from fer_edge.bundle import open_bundle


def name_of(path: Path) -> str:
    return open_bundle(path, keys=[]).manifest.name


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")
