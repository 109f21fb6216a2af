"""Train what is missing, write the tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from fer_edge.data import load_dataset
from fer_edge.errors import FerEdgeError
from fer_edge.files import read_json, write_text
from fer_edge.instructions import read_instructions
from fer_edge.train.reproduce.execute import (
    INTERRUPTED,
    Executor,
    LocalExecutor,
    RayExecutor,
    Task,
)
from fer_edge.train.reproduce.exports import (
    export_tasks,
    exports_elsewhere,
    read_exports,
)
from fer_edge.train.reproduce.figures import draw_figures
from fer_edge.train.reproduce.plan import Source, free_folder, plan
from fer_edge.train.reproduce.progress import Watch
from fer_edge.train.reproduce.results import Record, look, with_those_elsewhere
from fer_edge.train.reproduce.tables import markdown, print_plan


@dataclass(frozen=True)
class Options:
    """What ``fer-edge reproduce`` was asked for.

    Attributes:
        papers: keys of ``plan.PAPERS``; none means all.
        data: paths of the datasets, FER2013 and CK+48 in any order.
        runs: holds the run folders.
        report: holds ``RESULTS.md``, ``results.json`` and ``figures/``.
        epochs_scale: each recipe's epochs are multiplied by it.
        jobs: trainings at a time; on Ray, on each node or GPU.
        executor: ``local`` or ``ray``.
        resume: go on with runs that were cut off; otherwise they are started anew beside the old.
        export: export finished runs through the gate as well.
        dry_run: list what there is to do, and do nothing.
    """

    papers: Sequence[str]
    data: Sequence[str]
    runs: Path
    report: Path
    epochs_scale: float = 1.0
    jobs: int = 1
    executor: str = "local"
    resume: bool = True
    export: bool = False
    dry_run: bool = False


def reproduce(options: Options) -> list[Record]:
    """Bring the experiments to their end as far as it goes, and write the results either way.

    Raises:
        FerEdgeError: no such paper, a dataset that no paper uses, or trainings that failed.
        KeyboardInterrupt: Ctrl-C; what was trained is kept, and so are the tables.
    """
    experiments = plan(options.papers, options.epochs_scale)
    sources = _sources(options.data)
    executor = _executor(options)
    records = look(experiments, sources, options.runs)
    if not records:
        needed = sorted({each.paper.dataset for each in experiments})
        raise FerEdgeError(
            f"none of the datasets given is that of these papers: they need {', '.join(needed)}",
            "name it with --data PATH",
        )
    if options.dry_run:
        earlier = read_json(options.report / "results.json").get("runs", [])
        results = with_those_elsewhere(records, experiments, earlier)
        reported = {each.experiment.fingerprint for each in results if each.finished}
        print_plan(records, reported, options.jobs)
        return records
    console = Console(stderr=True)
    failed: list[Task] = []
    try:
        failed += _train(records, options, executor, console)
        if options.export:
            records = look(experiments, sources, options.runs)
            tasks = export_tasks(records, options.runs)
            failed += _run(executor, tasks, Watch(console, [], options.runs), accepted=(0, 3))
    finally:
        records = look(experiments, sources, options.runs)
        write_results(records, options.report, options.runs, options.epochs_scale)
        console.print(f"results: {options.report / 'RESULTS.md'}", highlight=False, soft_wrap=True)
    if failed:
        raise FerEdgeError(
            f"{len(failed)} of the runs failed: {', '.join(task.name for task in failed)}",
            f"see {failed[0].log}; the same command goes on",
        )
    return records


def write_results(
    records: list[Record], report: Path, runs: Path, epochs_scale: float = 1.0
) -> None:
    """Write ``RESULTS.md``, ``results.json`` and the figures from what the run folders hold.

    What an earlier ``results.json`` of the report has of runs that are not here, such as another
    machine's, stays as long as recipe and dataset are the same.
    """
    earlier = read_json(report / "results.json")
    results = with_those_elsewhere(records, plan((), epochs_scale), earlier.get("runs", []))
    exports = read_exports(records, runs) + exports_elsewhere(results, earlier.get("exports", []))
    instructions = read_instructions()
    figures = draw_figures(results, report / "figures")
    content = {"runs": [result.to_dict() for result in results], "exports": exports}
    write_text(report / "results.json", _a_line_each(content))
    write_text(report / "RESULTS.md", markdown(results, exports, figures, instructions))


def _a_line_each(content: dict[str, list[dict[str, Any]]]) -> str:
    """JSON whose changes can be read: a line for each object of each list."""
    lists = (
        f"{json.dumps(name)}: [\n" + ",\n".join(map(json.dumps, entries)) + "\n]"
        for name, entries in content.items()
    )
    return "{\n" + ",\n".join(lists) + "\n}\n"


def _train(
    records: list[Record], options: Options, executor: Executor, console: Console
) -> list[Task]:
    # the cheapest first, so that most of the table is there early
    missing = sorted(
        (record for record in records if not record.finished),
        key=lambda record: record.cost.training_macs,
    )
    watched = [(record, *_training_task(record, options)) for record in missing]
    watch = Watch(console, [(record, folder) for record, folder, _ in watched], options.runs)
    return _run(executor, [task for *_, task in watched], watch)


def _run(
    executor: Executor, tasks: list[Task], watch: Watch, accepted: tuple[int, ...] = (0,)
) -> list[Task]:
    """Run all tasks; those that failed."""
    failed = []
    with watch.bar:
        for task, code in executor.run(tasks, watch.tick):
            watch.ended(task, code)
            if code == INTERRUPTED:
                raise KeyboardInterrupt
            if code not in accepted:
                failed.append(task)
    return failed


def _training_task(record: Record, options: Options) -> tuple[Path, Task]:
    experiment = record.experiment
    if record.folder is not None and options.resume:
        folder = record.folder
        arguments = ["train", "--resume"]
    else:
        folder = free_folder(experiment, options.runs)
        arguments = ["train", experiment.base]
        for setting in experiment.settings:
            arguments += ["--set", setting]
    source = record.source.path
    arguments += ["--data", source if source == "synthetic" else str(Path(source).absolute())]
    arguments += ["--output", str(folder.absolute())]
    log = options.runs.absolute() / "logs" / f"{folder.name}.log"
    return folder, Task(folder.name, tuple(arguments), log)


def _sources(paths: Sequence[str]) -> dict[str, Source]:
    if not paths:
        raise FerEdgeError(
            "no dataset given", "name FER2013 and CK+48 with --data PATH --data PATH"
        )
    sources: dict[str, Source] = {}
    for path in paths:
        dataset = load_dataset(path)
        source = Source(path, dataset, dataset.fingerprint())
        if source.kind is None:
            raise FerEdgeError(
                f"{path} is no dataset of the papers: labels {', '.join(dataset.labels)}, "
                f"splits {', '.join(dataset.split_names)}",
                "give FER2013 with its three splits, or CK+48",
            )
        if source.kind in sources:
            raise FerEdgeError(
                f"{path} and {sources[source.kind].path} are both {source.kind}", "give one of them"
            )
        sources[source.kind] = source
    return sources


def _executor(options: Options) -> Executor:
    if options.executor == "ray":
        return RayExecutor(options.jobs)
    return LocalExecutor(options.jobs)
