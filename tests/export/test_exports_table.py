"""The table of what int8 costs, made from bundles."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from exported import Exported

from fer_edge.bundle import INT8_TFLITE, open_bundle

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "exports.py"


def test_a_row_says_what_the_bundle_records(exported: Exported, tmp_path: Path) -> None:
    counts = [{"model": "blobs.int8", "processor": "cortex-a76", "all": 1_260_000}]
    (tmp_path / "counts.json").write_text(json.dumps({"counts": counts}))
    command = [sys.executable, SCRIPT, exported.bundle, "-o", tmp_path / "page.md"]
    subprocess.run([*command, "--instructions", tmp_path / "counts.json"], check=True)
    page = (tmp_path / "page.md").read_text()
    manifest = open_bundle(exported.bundle).manifest
    lost = manifest.metrics["drop"][INT8_TFLITE]
    assert f"Median drop {100 * lost['accuracy']['value']:.2f} points" in page
    (row,) = [line for line in page.splitlines() if line.startswith("| blobs ")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert f"{manifest.metrics['int8']['accuracy']['value']:.1%}" in cells
    assert f"{lost['agreement']:.1%}" in cells
    assert "– / 1.3" in cells
    assert manifest.export["ladder"]["needed"] in cells
