"""What the suites of other processors and runtimes share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from exported import Exported
from shipped import ROOT, Shipped, find_shipped


@pytest.fixture(scope="session")
def shipped(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> list[Shipped]:
    """Bundles to ask about; the tests' own small one is the first."""
    return find_shipped(exported, tmp_path_factory.mktemp("shipped"))


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This checkout's wheel."""
    target = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", target, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = target.glob("*.whl")
    return built
