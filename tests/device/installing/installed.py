"""Installed bundles: what they are called, and one that is damaged."""

from __future__ import annotations

from pathlib import Path

from fer_edge.bundle import open_bundle


def name_of(path: Path) -> str:
    return open_bundle(path, keys=[]).manifest.name


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def spoil(path: Path) -> None:
    """Flip a bit in its middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
