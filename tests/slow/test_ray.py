"""The papers' runs on a Ray cluster of two workers, here, against the same runs without Ray."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fer_edge.data.packed import write_packed
from fer_edge.data.synthetic import synthetic_faces

pytest.importorskip("ray", reason="pip install 'fer-edge[ray]'")

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def cluster() -> Iterator[str]:
    """A head node with two cores, so with two workers at a time."""
    ray = [sys.executable, "-m", "ray.scripts.scripts"]
    start = [*ray, "start", "--head", "--num-cpus=2", "--port=0", "--include-dashboard=false"]
    subprocess.run(start, check=True, capture_output=True)
    yield "auto"
    subprocess.run([*ray, "stop", "--force"], check=True, capture_output=True)


def reproduce(folder: Path, data: Path, *more: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fer_edge", "reproduce", "kumar", "--data", str(data)]
    command += ["--epochs-scale", "0.03", "-o", str(folder / "runs"), "--report", str(folder)]
    environment = os.environ | env
    return subprocess.run([*command, *more], capture_output=True, text=True, env=environment)


def measured(folder: Path) -> list[dict[str, Any]]:
    """What the results say, without what differs between any two runs: times and commands."""
    runs = json.loads((folder / "results.json").read_text())["runs"]
    for run in runs:
        del run["seconds"], run["environment"], run["training"]["seconds"], run["test"]["seconds"]
    return runs


def test_ray_gives_the_results_file_of_the_local_executor(cluster: str, tmp_path: Path) -> None:
    faces = synthetic_faces(210, seed=1)
    data = tmp_path / "faces.npz"
    write_packed(faces, data)
    on_ray = reproduce(tmp_path / "ray", data, "--executor", "ray", "--jobs", "2")
    assert on_ray.returncode == 0, on_ray.stderr
    here = reproduce(tmp_path / "local", data, "--jobs", "2")
    assert here.returncode == 0, here.stderr
    assert measured(tmp_path / "ray") == measured(tmp_path / "local")
    assert [run["state"] for run in measured(tmp_path / "ray")] == ["done", "done"]


def test_without_a_cluster_one_line_says_how_to_start_one(tmp_path: Path) -> None:
    write_packed(synthetic_faces(70, seed=1), tmp_path / "faces.npz")
    gone = reproduce(
        tmp_path, tmp_path / "faces.npz", "--executor", "ray", RAY_ADDRESS="127.0.0.1:1"
    )
    assert gone.returncode == 2
    assert "fer-edge: no Ray cluster to be reached" in gone.stderr
    assert "ray start --head" in gone.stderr
