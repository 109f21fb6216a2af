"""Bundles to ask on several processors and runtimes, and the faces to ask about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from exported import Exported

from fer_edge.bundle import MEMBERS, open_bundle
from fer_edge.data.synthetic import synthetic_faces

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Shipped:
    """A bundle with its members as files.

    Attributes:
        path: the bundle.
        files: its models by member name.
        network: the Keras model it was made from, where that is at hand.
        faces: (N, 48, 48, 1) uint8, N at least 64.
        references: how many of these an emulated board asks the reference kernels about, which are
            a hundred times slower.
    """

    path: Path
    files: dict[str, Path]
    network: Path | None
    faces: np.ndarray
    references: int


@pytest.fixture(scope="session")
def shipped(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> list[Shipped]:
    """The tests' own small bundle, and every one in the checkout's ``bundles/``."""
    held_out = exported.dataset.faces[exported.dataset.splits == "PrivateTest"][..., None]
    drawn = synthetic_faces(96, seed=4).faces[..., None]
    found = [(exported.bundle, exported.run / "model.keras", held_out, 16)]
    for path in sorted((ROOT / "bundles").glob("*.fer")):
        found.append((path, ROOT / "runs" / path.stem / "model.keras", drawn, 2))
    return [
        Shipped(path, _unpack(path, tmp_path_factory.mktemp(path.stem)), _there(network), *rest)
        for path, network, *rest in found
    ]


def _unpack(bundle: Path, folder: Path) -> dict[str, Path]:
    content = open_bundle(bundle).content
    files = {name: folder / name for name in MEMBERS if name in content and "model" in name}
    for name, path in files.items():
        path.write_bytes(content[name])
    return files


def _there(path: Path) -> Path | None:
    return path if path.is_file() else None
