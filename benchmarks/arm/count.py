"""Instructions that one inference takes on the processors of Raspberry Pis, counted in emulation.

    python benchmarks/arm/count.py bundles/compact.fer other.tflite kusno-2
    python benchmarks/arm/count.py --json fer_edge/instructions.json     # the baseline

A MODEL that is no file is a network of the package, counted untrained. Without one: all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from emulator import HERE, PROCESSORS, Processor, exits_on_error, prepare, run
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from untrained import networks, write_untrained

from fer_edge.bundle import (
    DYNAMIC_TFLITE,
    FLOAT16_TFLITE,
    FLOAT_TFLITE,
    INT8_160_TFLITE,
    INT8_TFLITE,
    open_bundle,
)
from fer_edge.errors import FerEdgeError
from fer_edge.files import write_text

FORMATS = {
    "float32": FLOAT_TFLITE,
    "float16": FLOAT16_TFLITE,
    "dynamic": DYNAMIC_TFLITE,
    "int8": INT8_TFLITE,
    "int8-160x120": INT8_160_TFLITE,
}
"""Members of a bundle that are counted."""


@dataclass(frozen=True)
class Count:
    """Instructions of one inference.

    Attributes:
        all: every instruction.
        dot: SDOT and UDOT; each multiplies and adds 16 pairs of bytes.
        widening: SMULL, SMLAL, SADALP and the unsigned ones; 4 or 8 pairs.
        fmla: vector FMLA; 4 pairs of float32.
        load_store: loads and stores of any width.
    """

    all: int
    dot: int
    widening: int
    fmla: int
    load_store: int


Counts = dict[str, dict[str, Count]]
"""By model, then by processor, as qemu calls it."""


def count(models: Mapping[str, Path], processors: Sequence[Processor] = PROCESSORS) -> Counts:
    """Count one inference of each model on each processor.

    Args:
        models: ``.tflite`` files by the name they get in the result.
        processors: emulated ones, as many at once as this machine has cores.

    Raises:
        FerEdgeError: the emulator cannot be had, has no plugins, or a model does not run.
    """
    prepare()
    with tempfile.TemporaryDirectory() as folder:
        plugin = _compile_counter(Path(folder))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            columns = list(pool.map(lambda each: _count(models, each, plugin), processors))
    names = [processor.cpu for processor in processors]
    rows = zip(models, zip(*columns, strict=True), strict=True)
    return {model: dict(zip(names, row, strict=True)) for model, row in rows}


def takes_plugins() -> bool:
    """Whether the emulator can count: Debian 12's does, newer ones are linked without."""
    usage = subprocess.run(["qemu-aarch64", "--help"], capture_output=True, text=True).stdout
    return "-plugin" in usage


def _count(models: Mapping[str, Path], processor: Processor, plugin: Path) -> list[Count]:
    lines = plugin.with_name(f"{processor.cpu}.jsonl")
    paths = [path.resolve() for path in models.values()]
    run(processor, HERE / "infer.py", *paths, plugin=f"{plugin},out={lines}")
    return [Count(**json.loads(line)) for line in lines.read_text().splitlines()]


def _compile_counter(folder: Path) -> Path:
    if not takes_plugins():
        raise FerEdgeError(
            "this machine's qemu-aarch64 takes no plugins", "use qemu-user of Debian 12"
        )
    plugin = folder / "counter.so"
    line = ["gcc", "-O2", "-shared", "-fPIC", "-o", str(plugin), str(HERE / "counter.c")]
    subprocess.run(line, check=True)
    return plugin


def find_models(paths: Sequence[Path], folder: Path) -> dict[str, Path]:
    """The ``.tflite`` files among ``paths``, those of bundles, and the package's networks.

    Args:
        paths: files, or names of networks that ``untrained`` can write.
        folder: existing; what is no ``.tflite`` file yet gets one there.

    Raises:
        FerEdgeError: none of these, or the same name twice.
    """
    models: dict[str, Path] = {}
    for path in paths:
        if path.suffix == ".fer":
            bundle = open_bundle(path)
            found = {}
            for kind, member in FORMATS.items():
                if member in bundle.content:
                    target = found[f"{path.stem}.{kind}"] = folder / f"{path.stem}.{kind}.tflite"
                    target.write_bytes(bundle.read(member))
        elif path.suffix == ".tflite" and path.is_file():
            found = {path.stem: path}
        elif str(path) in networks():
            found = write_untrained(folder, [str(path)])
        else:
            raise FerEdgeError(
                f"{path} is not a model that can be counted",
                f"give .tflite files, bundles (.fer) or of {', '.join(networks())}",
            )
        if twice := sorted(set(found) & set(models)):
            raise FerEdgeError(f"two models are called {twice[0]}", "rename one")
        models |= found
    return models


def to_json(counts: Counts) -> str:
    """Counts with what they depend on: the wheels' versions and the emulator's."""
    qemu = subprocess.run(["qemu-aarch64", "--version"], capture_output=True, text=True).stdout
    pins = (HERE / "requirements.txt").read_text().splitlines()
    (litert,) = (line.split()[0] for line in pins if line.startswith("ai-edge-litert=="))
    head = {"emulator": qemu.splitlines()[0], "runtime": litert, "host": platform.machine()}
    rows = (
        json.dumps({"model": model, "processor": cpu, **asdict(each)})
        for model, row in counts.items()
        for cpu, each in row.items()
    )
    # a line a count, so that a change of the baseline can be read
    return json.dumps(head)[:-1] + ', "counts": [\n' + ",\n".join(rows) + "\n]}\n"


def from_json(text: str) -> Counts:
    """What ``to_json`` wrote."""
    counts: Counts = {}
    for row in json.loads(text)["counts"]:
        model, cpu = row.pop("model"), row.pop("processor")
        counts.setdefault(model, {})[cpu] = Count(**row)
    return counts


def print_counts(counts: Counts) -> None:
    """Print one row a model and processor, in millions."""
    table = Table(title="Million instructions an inference; instructions are not time", box=SIMPLE)
    for title in ("model", "processor"):
        table.add_column(title, no_wrap=True)
    for title in ("all", "SDOT", "SMULL", "FMLA", "ld/st"):
        table.add_column(title, justify="right", no_wrap=True)
    names = {processor.cpu: processor.name for processor in PROCESSORS}
    for model, row in counts.items():
        for cpu, each in row.items():
            cells = [f"{value / 1e6:.2f}" if value else "" for value in asdict(each).values()]
            table.add_row(model, names[cpu], *cells)
            model = ""
    Console().print(table)


def main() -> None:
    """Read the command line, count, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", type=Path, metavar="MODEL")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts there as well")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.models:
            models = find_models(options.models, Path(folder))
        else:
            print("building the package's networks", file=sys.stderr)
            models = write_untrained(Path(folder))
        print(f"counting {len(models)} models", file=sys.stderr)
        counts = count(models)
    print_counts(counts)
    if options.json:
        write_text(options.json, to_json(counts))


if __name__ == "__main__":
    with exits_on_error():
        main()
