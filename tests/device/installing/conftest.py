"""Bundles to install, a folder for them, and no trusted key."""

from __future__ import annotations

from pathlib import Path

import pytest
from maker import Maker

from fer_edge.bundle import trust
from fer_edge.bundle.minisign import SecretKey, new_key


@pytest.fixture(autouse=True)
def nobody_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "SYSTEM_KEYS", tmp_path / "none")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "installed"


@pytest.fixture(scope="module")
def bundles(maker: Maker) -> list[Path]:
    """Three bundles that can be told apart by their names."""
    return [maker.bundle(f"{name}.fer", name=name) for name in ("first", "second", "third")]


@pytest.fixture(scope="module")
def key() -> SecretKey:
    pytest.importorskip("cryptography")
    return new_key()
