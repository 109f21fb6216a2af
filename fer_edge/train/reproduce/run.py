"""Train what is missing, write the tables."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from fer_edge.data import load_dataset
from fer_edge.errors import FerEdgeError
from fer_edge.files import read_json, sole_use, write_text
from fer_edge.instructions import read_instructions
from fer_edge.train.checkpoints import Checkpoints
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
from fer_edge.train.reproduce.plan import DATASETS, Experiment, Source, free_folder, plan
from fer_edge.train.reproduce.progress import Watch
from fer_edge.train.reproduce.results import (
    Elsewhere,
    Record,
    finished_elsewhere,
    look,
    require_the_reports_datasets,
    with_those_elsewhere,
)
from fer_edge.train.reproduce.schedule import print_plan
from fer_edge.train.reproduce.tables import markdown


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
        FerEdgeError: no such paper, a dataset that no paper uses, none for a paper that was named,
            a folder that cannot be written to, a report of another dataset, or failed trainings.
        KeyboardInterrupt: Ctrl-C; what was trained is kept, and so are the tables.
    """
    console = Console(stderr=True)
    experiments = plan(options.papers, options.epochs_scale)
    _require_folder(options.runs, "--output")
    _require_folder(options.report, "--report")
    sources = _sources(options.data)
    _require_datasets(experiments, sources, options.papers, console)
    earlier = read_json(options.report / "results.json").get("runs", [])
    require_the_reports_datasets(sources, earlier, options.report)
    executor = _executor(options)
    records = look(experiments, sources, options.runs)
    skipped = finished_elsewhere(
        (record for record in records if record.experiment.base not in options.papers), earlier
    )
    if options.dry_run:
        print_plan(records, skipped, options.jobs)
        return records
    if skipped:
        found = options.report / "results.json"
        _say(
            console,
            f"{len(skipped)} finished elsewhere, as {found} says, and not trained again: name a "
            "recipe to train it here, or give another --report",
        )
    failed: list[Task] = []
    try:
        failed += _train(records, skipped, options, executor, console)
        if options.export:
            records = look(experiments, sources, options.runs)
            tasks = export_tasks(records, options.runs)
            failed += _run(executor, tasks, Watch(console, [], options.runs), accepted=(0, 3))
    finally:
        records = look(experiments, sources, options.runs)
        write_results(records, options.report, options.runs, options.epochs_scale)
        _say(console, f"results: {options.report / 'RESULTS.md'}")
    if failed:
        raise FerEdgeError(
            f"{len(failed)} of the runs failed: {', '.join(task.name for task in failed)}",
            f"see {failed[0].log}; once its reason is gone, the same command goes on",
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
    trained = [each.to_dict() for each in results if isinstance(each, Record | Elsewhere)]
    content = {"runs": trained, "exports": exports}
    write_text(report / "results.json", _a_line_each(content))
    write_text(report / "RESULTS.md", markdown(results, exports, figures, instructions))


def _a_line_each(content: dict[str, list[dict[str, Any]]]) -> str:
    """JSON whose changes can be read: a line for each object of each list."""
    lists = (
        f"{json.dumps(name)}: [\n" + ",\n".join(map(json.dumps, entries)) + "\n]"
        for name, entries in content.items()
    )
    return "{\n" + ",\n".join(lists) + "\n}\n"


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, soft_wrap=True, markup=False)


def _require_folder(folder: Path, option: str) -> None:
    """Raise FerEdgeError where ``folder`` is none that can be written to, and could not be made."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise FerEdgeError(f"{option} {folder}: {there} is a file", "name a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise FerEdgeError(
            f"{option} {folder}: {there} cannot be written to", "choose a folder you may write to"
        )


def _require_datasets(
    experiments: Sequence[Experiment],
    sources: Collection[str],
    papers: Sequence[str],
    console: Console,
) -> None:
    """Say what cannot be trained for lack of its dataset.

    Raises:
        FerEdgeError: that is all there is, or all of a paper or recipe that was named.
    """
    for name in papers or ("",):
        asked = [each for each in experiments if name in ("", each.base, each.paper.name)]
        needed = {each.paper.dataset: DATASETS[each.paper.dataset] for each in asked}
        if not set(needed) & set(sources):
            raise FerEdgeError(
                f"{name or 'the papers'}: no {' or '.join(needed.values())} given",
                "name it with --data PATH",
            )
    for kind, title in DATASETS.items():
        left = dict.fromkeys(each.base for each in experiments if each.paper.dataset == kind)
        if left and kind not in sources:
            _say(console, f"left out, no {title} given: {', '.join(left)}")


def _train(
    records: list[Record],
    skipped: Collection[str],
    options: Options,
    executor: Executor,
    console: Console,
) -> list[Task]:
    # the cheapest first, so that most of the table is there early
    missing = sorted(
        (
            record
            for record in records
            if not record.finished and record.experiment.fingerprint not in skipped
        ),
        key=lambda record: record.cost.training_macs,
    )
    for record in missing:
        if options.resume and record.folder and (aside := _set_damage_aside(record.folder)):
            name = record.folder.name
            _say(console, f"{name} starts anew: its checkpoint is damaged, and in {aside} now")
    watched = [(record, *_training_task(record, options)) for record in missing]
    watch = Watch(console, [(record, folder) for record, folder, _ in watched], options.runs)
    return _run(executor, [task for *_, task in watched], watch)


def _set_damage_aside(run: Path) -> Path | None:
    try:
        with sole_use(run):
            return Checkpoints(run).set_damage_aside()
    except FerEdgeError:
        return None  # another process trains it


def _run(
    executor: Executor, tasks: list[Task], watch: Watch, accepted: tuple[int, ...] = (0,)
) -> list[Task]:
    """Run all tasks; those that failed."""
    failed = []
    # closed at once, so that no task outlives what went wrong here
    with watch.bar, closing(executor.run(tasks, watch.tick)) as ended:
        for task, code in ended:
            watch.ended(task, code)
            if code == INTERRUPTED:
                raise KeyboardInterrupt
            if code not in accepted and task.name not in watch.busy:
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
