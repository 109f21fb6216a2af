"""The command line, as the tests here call it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fer_edge.cli import main


def fer_edge(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """Run a command in this process, since a new one costs a second; its exit code."""
    monkeypatch.setattr(sys, "argv", ["fer-edge", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)
