"""Every reproduced network through the export and its gate."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fer_edge.train.reproduce.execute import Task
from fer_edge.train.reproduce.results import Elsewhere, Record, Result


def export_tasks(records: list[Record], runs: Path) -> list[Task]:
    """One export for each finished run that stands for its network and has none yet."""
    tasks = []
    done = {entry["run"] for entry in read_exports(records, runs)}
    for record in _representatives(records):
        assert record.folder is not None
        output, log = _result(record.folder, runs), _log(record.folder, runs)
        if record.folder.name in done:
            continue
        output.parent.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        # a network that was trained anew takes the place of the one before
        arguments = ("export", str(record.folder.absolute()), "--int8", "--json", "--replace")
        bundles = str(runs.absolute() / "bundles" / record.folder.name)
        tasks.append(
            Task(f"export of {record.folder.name}", (*arguments, "-o", bundles), log, output)
        )
    return tasks


def read_exports(records: list[Record], runs: Path) -> list[dict[str, Any]]:
    """What each export measured, or why the gate refused it.

    Returns:
        For each: ``run``, ``recipe``, ``variant``, ``command`` and either ``result``, an extract of
        what ``fer-edge export --json`` prints, or ``refused``, the gate's lines.
    """
    found = []
    for record in _representatives(records):
        assert record.folder is not None
        output, log = _result(record.folder, runs), _log(record.folder, runs)
        if not output.exists():
            continue
        entry: dict[str, Any] = {
            "run": record.folder.name,
            "recipe": record.experiment.base,
            "dataset": record.source.dataset.name,
            "variant": record.experiment.variant,
            "command": f"fer-edge export {record.folder.name} --int8",
        }
        text = output.read_text(encoding="utf-8")
        said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        result = json.loads(text) if text else {}
        if result.get("passed", bool(text)):
            entry["result"] = extract(result)
        elif "fer-edge: the gate refused" in said:
            entry["refused"] = said[said.index("fer-edge: the gate refused") + 10 :].strip()
        else:
            continue
        found.append(entry)
    return found


def exports_elsewhere(
    results: Sequence[Result], earlier: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Of an earlier report's exports those whose networks have finished runs elsewhere alone."""
    here = {result.experiment.base for result in results if isinstance(result, Record)}
    elsewhere = {result.experiment.base for result in results if isinstance(result, Elsewhere)}
    return [entry for entry in earlier if entry["recipe"] in elsewhere - here]


def extract(result: dict[str, Any]) -> dict[str, Any]:
    """What the tables show; the whole is some 40 kB a network."""
    persons = {"persons": result["persons"]} if "persons" in result else {}
    return persons | {
        "accuracy": result["reference"]["accuracy"],
        "needed": result["ladder"]["needed"],
        "float_layers": result["ladder"]["float_layers"],
        "formats": {
            each["name"]: {
                "bytes": each["size"],
                "accuracy": each["whole"]["accuracy"],
                "drop": each["drop"]["accuracy"],
                "agreement": each["drop"]["agreement"],
                "mean_difference": each["drop"]["mean_difference"],
                "largest_difference": each["drop"]["largest_difference"],
                "latency": each["latency"],
            }
            for each in result["formats"]
        },
    }


def _representatives(records: list[Record]) -> list[Record]:
    """A finished run for each recipe: its first variant and seed."""
    first: dict[str, Record] = {}
    for record in records:
        if record.finished:
            first.setdefault(record.experiment.base, record)
    return list(first.values())


def _result(folder: Path, runs: Path) -> Path:
    return runs / "exports" / f"{folder.name}.json"


def _log(folder: Path, runs: Path) -> Path:
    return runs / "logs" / f"export-{folder.name}.log"
