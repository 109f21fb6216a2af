"""Small files in the forms that faces come in, written here."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np

from fer_edge.data.dataset import Dataset
from fer_edge.labels import LABELS

USAGES = ("Training", "PublicTest", "PrivateTest")


def small_dataset(count: int = 21, seed: int = 5) -> Dataset:
    """Random pictures, labels and splits in turn."""
    rng = np.random.default_rng(seed)
    faces = rng.integers(0, 256, (count, 48, 48)).astype(np.uint8)
    targets = (np.arange(count) % 7).astype(np.uint8)
    splits = np.array([USAGES[number % 3] for number in range(count)])
    return Dataset("fer2013", LABELS, faces, targets, splits)


def pixels(face: np.ndarray) -> str:
    return " ".join(map(str, face.ravel().tolist()))


def fer2013_csv(dataset: Dataset) -> str:
    """The rows as ``fer2013.csv`` has them."""
    rows = zip(dataset.targets.tolist(), dataset.faces, dataset.splits.tolist(), strict=True)
    lines = [f"{target},{pixels(face)},{split}" for target, face, split in rows]
    return "\n".join(["emotion,pixels,Usage", *lines]) + "\n"


def pack(target: Path, members: dict[str, bytes]) -> Path:
    """Write a .zip, .tar or .tar.gz by its name, or a .gz of the only member."""
    if target.name.endswith(".zip"):
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
    elif ".tar" in target.name:
        with tarfile.open(target, "w:gz" if target.name.endswith("gz") else "w") as archive:
            for name, data in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    else:
        (data,) = members.values()
        target.write_bytes(gzip.compress(data))
    return target


def spread(folder: Path, members: dict[str, bytes]) -> Path:
    """Write the members as files of a folder."""
    for name, data in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder
