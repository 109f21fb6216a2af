"""The wheel in an empty environment, without the checkout: what a user installs."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_wheel_holds_the_recipes_and_budgets_and_nothing_from_beside_the_package(
    wheel: Path,
) -> None:
    archive = zipfile.ZipFile(wheel)
    names = archive.namelist()
    assert "fer_edge/train/recipes/triwijoyo.toml" in names
    assert "fer_edge/export/budgets/strict.toml" in names
    shipped = sorted(path.name for path in (ROOT / "fer_edge" / "models").glob("*.fer"))
    assert sorted(Path(name).name for name in names if name.endswith(".fer")) == shipped
    assert sum(archive.getinfo(f"fer_edge/models/{name}").file_size for name in shipped) < 6e6
    assert "fer_edge/py.typed" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"fer_edge"}


def test_the_source_archive_makes_a_wheel_with_the_same_files(wheel: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "build", "--no-isolation", "-o", tmp_path, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    (again,) = tmp_path.glob("*.whl")
    assert set(zipfile.ZipFile(again).namelist()) == set(zipfile.ZipFile(wheel).namelist())


def test_the_device_extra_asks_for_no_tensorflow(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith("METADATA"))
    lines = archive.read(name).decode().splitlines()
    wanted = [line for line in lines if line.startswith("Requires-Dist:") and "extra" in line]
    device = [line for line in wanted if "'device'" in line.rpartition("extra")[2]]
    assert any("opencv" in line for line in device)
    assert not any("tensorflow" in line or "keras" in line for line in device)


@pytest.mark.timeout(600)
def test_a_wheel_in_an_empty_environment_runs_the_demo(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python]
    pinned = ["--require-hashes", "-r", ROOT / "requirements.txt"]
    # away from the checkout, whose pyproject.toml uv would take settings from
    subprocess.run([*install, *pinned], check=True, cwd=tmp_path)
    subprocess.run([*install, "--no-deps", wheel], check=True, cwd=tmp_path)
    command = [tmp_path / "env" / "bin" / "fer-edge", "demo"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "demo").glob("*.fer"))
