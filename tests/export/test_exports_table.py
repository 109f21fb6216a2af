"""The table of what int8 costs, made from bundles."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from exported import Exported

from fer_edge.bundle import INT8_TFLITE, open_bundle, write_bundle
from fer_edge.instructions import PROCESSORS, counted, in_millions, read_instructions
from fer_edge.shipped import shipped_models
from fer_edge.train.recipe import load_recipe, shipped_recipes

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "exports.py"


def _page(folder: Path, bundle: Path) -> str:
    subprocess.run([sys.executable, SCRIPT, bundle, "-o", folder / "page.md"], check=True)
    return (folder / "page.md").read_text()


def test_a_row_says_what_the_bundle_records(exported: Exported, tmp_path: Path) -> None:
    page = _page(tmp_path, exported.bundle)
    manifest = open_bundle(exported.bundle).manifest
    lost = manifest.metrics["drop"][INT8_TFLITE]
    assert f"Median drop {100 * lost['accuracy']['value']:.2f} points" in page
    (row,) = [line for line in page.splitlines() if line.startswith("| blobs ")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert f"{manifest.metrics['int8']['accuracy']['value']:.1%}" in cells
    assert f"{lost['agreement']:.1%}" in cells
    assert cells.count("– / –") == 2, "nobody counted this network"
    assert manifest.export["ladder"]["needed"] in cells
    assert "as given" in cells
    assert "96" in cells


def test_a_row_counts_the_persons_whose_pictures_were_held_out(
    exported: Exported, tmp_path: Path
) -> None:
    bundle, place = open_bundle(exported.bundle), tmp_path / "persons.fer"
    changed = replace(bundle.manifest, metrics={**bundle.manifest.metrics, "persons": 39})
    write_bundle(place, changed, {name: bundle.read(name) for name in bundle.content})
    (row,) = [line for line in _page(tmp_path, place).splitlines() if line.startswith("| blobs ")]
    assert "| 96 of 39 persons |" in row


def test_a_row_says_how_the_images_were_divided_and_that_the_test_split_was_asked_twice(
    exported: Exported, tmp_path: Path
) -> None:
    bundle, place = open_bundle(exported.bundle), tmp_path / "leaky.fer"
    division = {"how": "by-image", "leaky": True}
    rungs = [{"name": "rewrites", "refused": True}, {"name": "bias correction"}]
    ladder = {"needed": "bias correction", "float_layers": [], "rungs": rungs}
    changed = replace(
        bundle.manifest,
        dataset={**bundle.manifest.dataset, "division": division},
        export={**bundle.manifest.export, "ladder": ladder},
    )
    write_bundle(place, changed, {name: bundle.read(name) for name in bundle.content})
    (row,) = [line for line in _page(tmp_path, place).splitlines() if line.startswith("| blobs ")]
    assert "| by image, leaky |" in row
    assert "| bias correction † |" in row


def test_instructions_of_every_recipes_network_are_known(tmp_path: Path) -> None:
    instructions = read_instructions()
    for recipe in shipped_recipes():
        if load_recipe(recipe).task == "classify" and recipe not in ("demo", "fine-tune"):
            for processor in PROCESSORS:
                assert None not in counted(recipe, processor, instructions), recipe
    nano = counted("edge-nano", "cortex-a76", instructions)
    assert f"| {in_millions(nano, 1)} |" in _page(tmp_path, shipped_models()["edge-nano-fer2013"])
