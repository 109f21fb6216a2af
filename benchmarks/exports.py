"""What int8 costs each network of the package: one table of many bundles, out of their manifests.

    python benchmarks/exports.py bundles/*.fer fer_edge/models/edge-*.fer -o export/RESULTS.md

Nothing is measured here: a manifest holds what the export measured on its test split. Instructions
are those of ``fer_edge/instructions.json``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from fer_edge.bundle import INT8_TFLITE, Manifest, open_bundle
from fer_edge.data.ckplus import CKPLUS_LABELS
from fer_edge.files import write_text
from fer_edge.instructions import PROCESSORS, counted, in_millions, read_instructions
from fer_edge.markdown import markdown_table
from fer_edge.subject import BY_LABEL

HEADER = (
    "network",
    "judged by",
    "divided",
    "images",
    "float",
    "int8",
    "drop, points",
    "may drop",
    "agreement",
    "largest difference",
    "kB",
    *(f"{name}, M" for name in PROCESSORS.values()),
    "remedy",
)
INTRODUCTION = """# What int8 costs, network by network
Written by `benchmarks/exports.py` from the bundles' manifests; do not edit. *Float* is the Keras
network, *int8* its TFLite file, on the same held-out images, with the drop's 95% paired bootstrap
interval, over persons where they are counted, else over images, and what its budget allowed.
*Agreement* is the share of images that both name alike, *largest difference* that of any
probability on any image. A72 and A76: million instructions of one
inference of the untrained network, float32 / int8 TFLite, counted in emulation, which are not time.
*Remedy* is the last that the [ladder](../docs/exporting.md#the-ladder) needed; with a † the test
split had refused an earlier one, so that it had a word in the choice. *Divided* by image: of CK+48
the same people stand on both sides, in the leaky order copies of the same images do
([findings](../docs/findings.md)).

Median drop {median:.2f} points, largest {largest:.2f} ({worst}).

"""


def table(bundles: Sequence[Path], instructions: Mapping[str, Mapping[str, float]]) -> str:
    """The page, from what the bundles' manifests say.

    Args:
        bundles: of classifiers.
        instructions: see ``read_instructions``.
    """
    rows, drops = [], []
    for path in bundles:
        bundle = open_bundle(path, keys=())
        manifest = bundle.manifest
        lost = manifest.metrics["drop"][INT8_TFLITE]
        drop = {end: 100 * value for end, value in lost["accuracy"].items()}
        drops.append((drop["value"], manifest.name))
        rows.append(
            (
                manifest.name,
                _judge(manifest),
                _division(manifest),
                _images(manifest),
                f"{manifest.metrics['float']['accuracy']['value']:.1%}",
                f"{manifest.metrics['int8']['accuracy']['value']:.1%}",
                f"{drop['value']:.2f} ({drop['low']:.2f} … {drop['high']:.2f})",
                f"{manifest.gate['budget']['accuracy_drop_points']:g}",
                f"{lost['agreement']:.1%}",
                f"{lost['largest_difference']:.3f}",
                f"{len(bundle.content[INT8_TFLITE]) / 1000:,.0f}",
                *(in_millions(counted(manifest.name, cpu, instructions), 1) for cpu in PROCESSORS),
                _remedy(manifest.export["ladder"]),
            )
        )
    largest, worst = max(drops)
    introduction = INTRODUCTION.format(
        median=median(drop for drop, _ in drops), largest=largest, worst=worst
    )
    return introduction + markdown_table(HEADER, rows)


def _images(manifest: Manifest) -> str:
    images = f"{sum(map(sum, manifest.metrics['float']['confusion'])):,}"
    persons = manifest.metrics.get("persons")
    return images if persons is None else f"{images} of {persons} persons"


def _judge(manifest: Manifest) -> str:
    if tuple(manifest.labels) == CKPLUS_LABELS:
        return "CK+48's labels"
    truth = manifest.dataset.get("truth", BY_LABEL)
    return "FER2013's labels" if truth == BY_LABEL else truth


def _division(manifest: Manifest) -> str:
    division = manifest.dataset.get("division")
    if division is None:
        return "as given"
    return division["how"].replace("-", " ") + (", leaky" if division["leaky"] else "")


def _remedy(ladder: Mapping[str, Any]) -> str:
    kept = len(ladder["float_layers"])
    consulted = any(rung.get("refused") for rung in ladder["rungs"])
    layers = f", {kept} layers in float" if kept else ""
    return f"{ladder['needed']}{layers}{' †' if consulted else ''}"


def main() -> None:
    """Read the command line, write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", nargs="+", type=Path, metavar="BUNDLE")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: the terminal")
    options = parser.parse_args()
    page = table(options.bundles, read_instructions())
    if options.output:
        write_text(options.output, page)
    else:
        sys.stdout.write(page)


if __name__ == "__main__":
    main()
