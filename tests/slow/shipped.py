"""Bundles to ask about on several processors and runtimes, and the faces to show them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from exported import Exported

from fer_edge.bundle import INT8_TFLITE, MEMBERS, open_bundle
from fer_edge.data.synthetic import synthetic_faces
from fer_edge.shipped import shipped_models

ROOT = Path(__file__).resolve().parents[2]

SMALL = 500_000
"""Bytes of an int8 model; a larger one takes minutes for more than a few faces."""


@dataclass(frozen=True)
class Shipped:
    """A bundle with its members as files.

    Attributes:
        path: the bundle.
        files: its models by member name.
        network: the Keras model it was made from, where that is at hand.
        faces: (N, 48, 48, 1) uint8, N at least 64.
        emulated: how many of these an emulated board is asked about.
        references: how many of these it asks the reference kernels about, which are a hundred times
            slower.
    """

    path: Path
    files: dict[str, Path]
    network: Path | None
    faces: np.ndarray
    emulated: int
    references: int


def find_shipped(exported: Exported, folder: Path) -> list[Shipped]:
    """The tests' own small bundle, those that the package ships, and the checkout's ``bundles/``.

    Args:
        exported: whose bundle comes first; its held-out faces are asked about.
        folder: for the models.
    """
    held_out = exported.dataset.faces[exported.dataset.splits == "PrivateTest"][..., None]
    drawn = synthetic_faces(96, seed=4).faces[..., None]
    models = _unpack(exported.bundle, folder / "exported")
    network = exported.run / "model.keras"
    found = [Shipped(exported.bundle, models, network, held_out, emulated=64, references=16)]
    # of each size one: its other bundle has another head on the same network
    sizes = [file for name, file in shipped_models().items() if not name.endswith("-fer2013")]
    for path in (*sizes, *sorted((ROOT / "bundles").glob("*.fer"))):
        models = _unpack(path, folder / path.stem)
        trained = ROOT / "runs" / path.stem / "model.keras"
        network = trained if trained.is_file() else None
        small = models[INT8_TFLITE].stat().st_size <= SMALL
        effort = {"emulated": 64, "references": 2} if small else {"emulated": 4, "references": 0}
        found.append(Shipped(path, models, network, drawn, **effort))
    return found


def _unpack(bundle: Path, folder: Path) -> dict[str, Path]:
    content = open_bundle(bundle).content
    folder.mkdir()
    files = {name: folder / name for name in MEMBERS if name in content and "model" in name}
    for name, path in files.items():
        path.write_bytes(content[name])
    return files
