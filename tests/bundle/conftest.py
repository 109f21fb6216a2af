"""A bundle, keys, and a machine that trusts nobody unless a test says so."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from exported import Exported
from keys import Signer

from fer_edge.bundle import trust
from fer_edge.bundle.minisign import new_key


def _signer(folder: Path, name: str) -> Signer:
    pytest.importorskip("cryptography")
    key, public = new_key(), folder / f"{name}.pub"
    public.write_text(key.public.to_text())
    return Signer(key, public)


@pytest.fixture(scope="session")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return _signer(tmp_path_factory.mktemp("ours"), "ours")


@pytest.fixture(scope="session")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return _signer(tmp_path_factory.mktemp("theirs"), "theirs")


@pytest.fixture(autouse=True)
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the user's trusted keys, empty; the system's is elsewhere."""
    monkeypatch.setattr(trust, "SYSTEM_KEYS", tmp_path / "etc" / "keys")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / "config" / "fer-edge" / "keys"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="session")
def minisign() -> str:
    """The stock command; the test is skipped where it is not installed."""
    command = shutil.which("minisign")
    if command is None:
        pytest.skip("install minisign to check against it")
    subprocess.run([command, "-v"], check=True, capture_output=True)
    return command


@pytest.fixture(scope="session")
def packed(exported: Exported) -> bytes:
    """The bytes of a full bundle."""
    return exported.bundle.read_bytes()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "changed.fer"
