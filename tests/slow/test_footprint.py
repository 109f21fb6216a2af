"""What the device extra costs a device: disk, memory, and time to the first event."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest
from shipped import ROOT

from fer_edge.data.clip import render_clip

DISK_MB, MEMORY_MB, START_S = 320, 150, 1.0
STARTS = 10
"""At most so many attempts; a machine that does other things besides makes most of them slow."""

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the device extra and nothing else, in the pinned versions."""
    folder = tmp_path_factory.mktemp("device") / "env"
    venv.create(folder, with_pip=False)
    _install(wheel, folder.parent, "--python", folder / "bin" / "python", "--compile-bytecode")
    return folder


def _install(wheel: Path, place: Path, *where: str | Path) -> None:
    pins = place / "pins.txt"
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    # a hash for the wheel that was just built there is not
    pins.write_text("\n".join(line.removesuffix(" \\") for line in lines if "==" in line))
    install = [sys.executable, "-m", "uv", "--no-config", "pip", "install", "--quiet"]
    what = ["--constraint", pins, f"fer-edge[device] @ {wheel.as_uri()}"]
    subprocess.run([*install, *where, *what], check=True, cwd=place)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people, 596×336, in view from the first frame on."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    render_clip(path, frames=100, size=(596, 336))
    return path


@pytest.fixture(scope="module")
def model(bundle: Path) -> Path:
    """The demo's bundle, or a smaller one where it was not made."""
    demo = ROOT / "demo" / "demo.fer"
    return demo if demo.exists() else bundle


def _command(environment: Path, model: Path, clip: Path) -> list[str | Path]:
    program = environment / "bin" / "fer-edge"
    return [program, "run", model, "--video", clip, "--detector", "haar", "--json"]


def test_the_device_extra_takes_less_than_320_mb_on_a_board_and_has_no_tensorflow(
    wheel: Path, tmp_path: Path
) -> None:
    packages = tmp_path / "packages"
    board = ["--python-platform", "aarch64-manylinux_2_28", "--python-version", "3.11"]
    _install(wheel, tmp_path, *board, "--only-binary", ":all:", "--target", packages)
    # as pip does; a module for another Python than this one is left out
    subprocess.run([sys.executable, "-m", "compileall", "-q", packages], capture_output=True)
    found = subprocess.run(["du", "-sm", packages], capture_output=True, text=True, check=True)
    used = int(found.stdout.split()[0])
    sizes = sorted(((_megabytes(part), part.name) for part in packages.iterdir()), reverse=True)
    largest = ", ".join(f"{name} {size}" for size, name in sizes[:6])
    print(f"\ninstalled on aarch64: {used} MB ({largest})")
    assert not any(name.startswith(("tensorflow", "keras")) for _, name in sizes)
    assert used < DISK_MB


def _megabytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*")) >> 20


def test_a_run_with_haar_takes_less_than_150_mb(environment: Path, model: Path, clip: Path) -> None:
    command = _command(environment, model, clip)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    summary = json.loads(done.stdout.splitlines()[-1])
    print(f"\npeak memory: {summary['peak_memory_mib']} MiB, {model.name}")
    assert summary["peak_memory_mib"] * 1.048576 < MEMORY_MB


def test_the_first_event_comes_within_a_second(environment: Path, model: Path, clip: Path) -> None:
    took = []
    while len(took) < STARTS and (not took or min(took) >= START_S):
        began = time.perf_counter()
        with subprocess.Popen(
            _command(environment, model, clip), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            first = json.loads(process.stdout.readline())
            took.append(time.perf_counter() - began)
            process.kill()
        assert first["label"]
    print(f"\nstart to first event: {min(took):.2f} s, attempts {[round(s, 2) for s in took]}")
    assert min(took) < START_S
