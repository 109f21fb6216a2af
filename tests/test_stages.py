"""Stages hand on artefacts, not code: none imports a later one, and the device imports none."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import fer_edge

PACKAGE = Path(fer_edge.__file__).parent


@pytest.mark.parametrize(
    ("stage", "others"),
    [
        ("data", {"train", "export", "device"}),
        ("train", {"export", "device"}),
        ("export", {"device"}),
        ("device", {"data", "train", "export"}),
    ],
)
def test_a_stage_imports_nothing_of(stage: str, others: set[str]) -> None:
    found = []
    for file in (PACKAGE / stage).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                package, _, rest = node.module.partition(".")
                if package == "fer_edge" and rest.split(".")[0] in others:
                    found.append(f"{file.relative_to(PACKAGE)}:{node.lineno} {node.module}")
    assert not found
