"""Accuracy against instructions: every network on FER2013's PrivateTest, as a Pareto plot.

    python benchmarks/arm/pareto.py                        # the shipped models and the papers'
    python benchmarks/arm/pareto.py bundles/*.fer -o pareto.png

Accuracies are of the given bundles' manifests (int8; those judged by FER2013's labels) and of
train/results.json (the papers' networks that were judged on PrivateTest alone: int8 where one was
exported, else the float network; none whose int8 model the gate refused).
Instructions are of the int8 file, from fer_edge/instructions.json. peers.json has both of other
projects' models (benchmarks/classifiers.py), in the format that they come in.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer_edge.bundle import INT8_TFLITE, open_bundle
from fer_edge.files import atomic_path
from fer_edge.instructions import COUNTS
from fer_edge.shipped import shipped_models
from fer_edge.subject import BY_LABEL

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PROCESSORS = {
    "cortex-a72": "Cortex-A72 (Raspberry Pi 4)",
    "cortex-a76": "Cortex-A76 (Raspberry Pi 5)",
}
ORIGINS = {
    "own": ("fer-edge's own", "#1a7f4b"),
    "peer": ("other projects'", "#b0541e"),
    "paper": ("the papers' and baselines, trained here", "#5d6b7a"),
}
"""What a point's colour says."""
DATASET, SPLITS = "fer2013", ["PrivateTest"]


@dataclass(frozen=True)
class Point:
    """A network in the plot.

    Attributes:
        name: as ``instructions.json`` has it, without the format.
        accuracy, low, high: on PrivateTest by FER2013's labels, with the 95% interval, in 0..1.
        instructions: of one int8 inference, by processor.
        origin: whose design it is, a key of ``ORIGINS``.
    """

    name: str
    accuracy: float
    low: float
    high: float
    instructions: Mapping[str, float]
    origin: str


def points(
    instructions: Mapping[str, Any],
    results: Mapping[str, Any],
    bundles: Iterable[Path],
    peers: Mapping[str, Any],
) -> list[Point]:
    """What can be drawn: networks whose accuracy and whose instructions are both known.

    Args:
        instructions: the content of ``instructions.json``.
        results: the content of ``results.json``.
        bundles: those judged by other than FER2013's labels on PrivateTest are left out.
        peers: the content of ``peers.json``.
    """
    counts: dict[str, dict[str, float]] = {}
    for row in instructions["counts"]:
        name, _, kind = row["model"].rpartition(".")
        if kind == "int8":
            counts.setdefault(name, {})[row["processor"]] = row["all"]
    counts |= {name: peer["instructions"] for name, peer in peers.items()}
    accuracies = _of_papers(results) | _of_bundles(bundles)
    accuracies |= {name: peer["accuracy"] for name, peer in peers.items()}
    return [
        Point(
            name,
            accuracy["value"],
            accuracy["low"],
            accuracy["high"],
            counts[name],
            "own" if name.startswith("edge-") else "peer" if name in peers else "paper",
        )
        for name, accuracy in sorted(accuracies.items())
        if name in counts
    ]


def front(found: Sequence[Point], processor: str) -> list[Point]:
    """The networks that no other one beats in accuracy with as few instructions, cheapest first."""
    best: list[Point] = []
    for point in sorted(found, key=lambda p: (p.instructions[processor], -p.accuracy)):
        if not best or point.accuracy > best[-1].accuracy:
            best.append(point)
    return best


def draw(found: Sequence[Point], target: Path) -> None:
    """Draw a panel a processor, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    panels = figure.subplots(1, len(PROCESSORS), sharey=True)
    for axes, (processor, title) in zip(panels, PROCESSORS.items(), strict=True):
        known = [point for point in found if processor in point.instructions]
        line = front(known, processor)
        axes.plot(
            [p.instructions[processor] / 1e6 for p in line],
            [100 * p.accuracy for p in line],
            color="#9db4cc",
            drawstyle="steps-post",
        )
        for point in known:
            x, y = point.instructions[processor] / 1e6, 100 * point.accuracy
            below, above = y - 100 * point.low, 100 * point.high - y
            colour = ORIGINS[point.origin][1]
            axes.errorbar(x, y, [[below], [above]], fmt="o", color=colour, elinewidth=0.8)
            axes.annotate(point.name, (x, y), (5, 4), textcoords="offset points", size=8)
        axes.set_xscale("log")
        axes.margins(x=0.2)  # room for the names
        axes.set_title(title)
        axes.set_xlabel("million instructions of one inference")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("accuracy on FER2013's PrivateTest, %")
    for meaning, colour in ORIGINS.values():
        panels[0].scatter([], [], color=colour, label=meaning)
    panels[0].legend(loc="lower left", fontsize=8)
    with atomic_path(target) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def _of_papers(results: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        run["recipe"]: run["test"]["whole"]["accuracy"]
        for run in reversed(results["runs"])
        if run["dataset"] == DATASET
        and run["state"] == "done"
        and not run["leaky"]
        # a run whose faces were divided anew has another test split
        and run["variant"] == "as given"
        and run["test"]["splits"] == SPLITS
    }
    for entry in results["exports"]:
        if entry["recipe"] not in found or entry["dataset"] != DATASET:
            continue
        if "result" in entry:
            found[entry["recipe"]] = entry["result"]["formats"][INT8_TFLITE]["accuracy"]
        else:
            # the gate refused the file whose instructions were counted
            del found[entry["recipe"]]
    return found


def _of_bundles(paths: Iterable[Path]) -> dict[str, Any]:
    found = {}
    for path in paths:
        manifest = open_bundle(path, keys=()).manifest
        by_labels = manifest.dataset.get("truth", BY_LABEL) == BY_LABEL
        same = manifest.dataset.get("name") == DATASET and manifest.metrics["splits"] == SPLITS
        if by_labels and same:
            name = manifest.name.removesuffix("-fer2013")
            found[name] = manifest.metrics["int8"]["accuracy"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", nargs="*", type=Path, help="default: those that ship")
    parser.add_argument("--results", type=Path, default=ROOT / "train" / "results.json")
    parser.add_argument("--instructions", type=Path, default=COUNTS)
    parser.add_argument(
        "-o", "--output", type=Path, default=ROOT / "docs" / "images" / "pareto.png"
    )
    options = parser.parse_args()
    found = points(
        json.loads(options.instructions.read_text()),
        json.loads(options.results.read_text()),
        options.bundles or shipped_models().values(),
        json.loads((HERE / "peers.json").read_text()),
    )
    draw(found, options.output)
    for point in sorted(found, key=lambda p: -p.accuracy):
        counted = ", ".join(f"{point.instructions.get(p, 0) / 1e6:.1f} M" for p in PROCESSORS)
        print(
            f"{point.name:16} {point.accuracy:.1%} ({point.low:.1%} – {point.high:.1%})  {counted}"
        )
    print(options.output)


if __name__ == "__main__":
    main()
