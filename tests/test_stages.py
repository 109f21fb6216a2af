"""Stages hand on artefacts, not code: none imports a later one, and the device imports none."""

from __future__ import annotations

import ast
import re
import tomllib
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


def test_the_extra_that_an_error_names_brings_the_module_that_is_missing() -> None:
    called = {
        "ai_edge_litert": "ai-edge-litert",
        "cv2": "opencv-python-headless",
        "imblearn": "imbalanced-learn",
        "paho": "paho-mqtt",
        "sklearn": "scikit-learn",
        "tflite_micro": "tflite-micro",
        "tomli_w": "tomli-w",
    }
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]

    def brought(extra: str) -> set[str]:
        found: set[str] = set()
        for line in extras[extra]:
            if inner := re.match(r"fer-edge\[(.+)\]", line):
                found = found.union(*map(brought, inner[1].split(",")))
            else:
                found.add(re.split(r"[^\w-]", line)[0])
        return found

    named = {
        pair
        for file in PACKAGE.rglob("*.py")
        for pair in re.findall(r'require_extra\("(\w+)", "(\w+)"\)', file.read_text())
    }
    assert ("cv2", "train") in named
    assert not [pair for pair in named if called.get(pair[0], pair[0]) not in brought(pair[1])]
