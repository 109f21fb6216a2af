"""Data that several tests share: small, drawn here, seeded."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from exported import Exported, train_and_export
from maker import Maker, int8_model

from fer_edge.data.dataset import Dataset
from fer_edge.data.ferplus import VOTE_COLUMNS
from fer_edge.data.packed import write_packed
from fer_edge.labels import LABELS, label_index

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# nohup ignores it, and what a test starts would inherit that
signal.signal(signal.SIGHUP, signal.SIG_DFL)

SMALL_RECIPE = """
name = "blobs"
[data]
validation = ["PublicTest"]
[model]
name = "compact"
width = 4
[fit]
epochs = 2
batch_size = 32
learning_rate = 0.01
mixed_precision = "off"
"""

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)
WANTING = re.compile("install|could not import|takes no plugins")
"""In the reason of a skip: a tool that continuous integration has to have."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where ``FER_EDGE_ALL_TOOLS`` is set, fail a test that is skipped for want of a tool."""
    return _without_excuse((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same of a whole file of tests."""
    return _without_excuse((yield))


def _without_excuse(report: Report) -> Report:
    reason = str(report.longrepr)
    if report.skipped and os.environ.get("FER_EDGE_ALL_TOOLS") and WANTING.search(reason):
        report.outcome = "failed"
        report.longrepr = f"skipped, but FER_EDGE_ALL_TOOLS is set: {reason}"
    return report


def blobs(count: int, seed: int, contrast: int = 130) -> tuple[np.ndarray, np.ndarray]:
    """Noisy (N, 48, 48) uint8 pictures whose class is where a bright blob lies, and (N,) uint8."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, len(LABELS), count).astype(np.uint8)
    faces = rng.integers(0, 90, (count, 48, 48)).astype(np.uint8)
    for face, target in zip(faces, targets, strict=True):
        row, column = divmod(int(target), 3)
        face[4 + 14 * row : 16 + 14 * row, 4 + 14 * column : 16 + 14 * column] += contrast
    return faces, targets


@pytest.fixture(scope="session")
def blob_dataset() -> Dataset:
    """448 training, 96 validation and 96 test pictures that a small network learns in seconds."""
    faces, targets = blobs(640, seed=3)
    splits = np.repeat(["Training", "PublicTest", "PrivateTest"], [448, 96, 96])
    return Dataset("blobs", LABELS, faces, targets, splits)


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    """The file of a recipe that takes seconds."""
    path = tmp_path / "blobs.toml"
    path.write_text(SMALL_RECIPE)
    return str(path)


@pytest.fixture
def packed(blob_dataset: Dataset, tmp_path: Path) -> str:
    """The file of the blobs."""
    path = tmp_path / "blobs.npz"
    write_packed(blob_dataset, path)
    return str(path)


@pytest.fixture(scope="session")
def voted(blob_dataset: Dataset) -> Dataset:
    """Seven of ten vote for the next class, three for the label; the last ten are no faces."""
    column = {label_index(name): number for number, name in enumerate(VOTE_COLUMNS)}
    votes = np.zeros((len(blob_dataset), len(VOTE_COLUMNS)), np.uint8)
    for row, target in enumerate(blob_dataset.targets.tolist()):
        votes[row, column[(target + 1) % 7]] = 7
        votes[row, column[target]] = 3
    votes[-10:] = [0] * 9 + [10]
    return replace(blob_dataset, votes=votes)


@pytest.fixture(scope="session")
def faint_dataset() -> Dataset:
    """900 training and 300 validation pictures whose blobs are hardly brighter than the noise."""
    faces, targets = blobs(1200, seed=3, contrast=40)
    splits = np.repeat(["Training", "PublicTest"], [900, 300])
    return Dataset("faint", LABELS, faces, targets, splits)


class RealData:
    """A folder of real faces; a test that takes from it what is not there is skipped."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __truediv__(self, name: str) -> Path:
        path = self._folder / name
        if not path.exists():
            pytest.skip(f"{path} is not there, see FER_EDGE_DATA in docs/datasets.md")
        return path


@pytest.fixture(scope="session")
def real_data() -> RealData:
    """What lies in the folder that FER_EDGE_DATA names; without one the test is skipped."""
    folder = os.environ.get("FER_EDGE_DATA")
    if not folder:
        pytest.skip("set FER_EDGE_DATA to a folder with fer2013.tar.gz, see docs/datasets.md")
    return RealData(Path(folder))


@pytest.fixture(scope="session")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    return Maker(int8_model(), tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="session")
def bundle(maker: Maker) -> Path:
    """A bundle that proves itself."""
    return maker.bundle("tiny.fer")


@pytest.fixture(scope="session")
def exported(blob_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A dataset, the run trained on it and its export, shared by all tests; nobody changes them."""
    return train_and_export(blob_dataset, tmp_path_factory.mktemp("exported"))


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB; skipped where this user may not mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
