"""A small stand-in of FER2013, and a run that was trained on it by hand."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fer_edge.chatter import import_keras
from fer_edge.data.dataset import Dataset
from fer_edge.data.packed import write_packed

keras = import_keras()

from fer_edge.train.run import train  # noqa: E402


@pytest.fixture(scope="session")
def faces(blob_dataset: Dataset) -> Dataset:
    """150 pictures in FER2013's three splits, with uneven classes."""
    picked = blob_dataset.subset(np.r_[0:90, 448:478, 544:574])
    uneven = np.where(picked.targets == 5, 6, picked.targets).astype(np.uint8)
    return replace(picked, targets=uneven)


@pytest.fixture(scope="session")
def by_hand(faces: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kumar's leaky run, trained for one epoch."""
    folder = tmp_path_factory.mktemp("by-hand")
    write_packed(faces, folder / "faces.npz")
    data, output = str(folder / "faces.npz"), folder / "run"
    return train("kumar-leaky", data, output=output, overrides=["fit.epochs=1"]).folder


@pytest.fixture
def trained(by_hand: Path, tmp_path: Path) -> Path:
    """A runs folder that holds a copy of it."""
    shutil.copytree(by_hand, tmp_path / "runs" / "by-hand")
    return tmp_path / "runs"
