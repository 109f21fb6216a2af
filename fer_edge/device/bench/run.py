"""One benchmark from options to JSON and table."""

from __future__ import annotations

import errno
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from fer_edge.bundle.trust import trusted_keys
from fer_edge.device.bench.compare import compare, print_comparison
from fer_edge.device.bench.document import Point, Session, document
from fer_edge.device.bench.frames import Draw, Frames, read_frames
from fer_edge.device.bench.rule import QUICK, SINGLE_STREAM, Rule
from fer_edge.device.bench.sensors import Sensors, Watch
from fer_edge.device.bench.stream import measure
from fer_edge.device.bench.subjects import ModelAlone, Subject, WholePipeline, opencv_threads
from fer_edge.device.bench.table import SCENARIOS, print_bench
from fer_edge.device.classifier import Classifier
from fer_edge.device.detectors import open_detector
from fer_edge.device.opening import open_chosen
from fer_edge.device.signals import StopRequest
from fer_edge.device.tracking import DETECT_EVERY
from fer_edge.errors import FerEdgeError
from fer_edge.files import explain, write_text

INTERRUPTED = 130
"""Exit code when somebody ended it before it was complete."""


@dataclass(frozen=True)
class BenchOptions:
    """What ``fer-edge bench`` was asked for."""

    draw: Draw
    """Draws frames where none are named; see ``read_frames``."""
    bundles: tuple[Path, ...] = ()
    """Bundles, folders of installed ones or bare models, which take turns; none takes the newest
    bundle in ./bundles or here, else the installed one."""
    keys: tuple[Path, ...] = ()
    """Public keys of which one must have signed the bundles; none takes those configured."""
    scenario: str | None = None
    """"model" or "pipeline"; None takes both."""
    video: Path | None = None
    images: Path | None = None
    threads: str | None = None
    """Numbers with commas between; None takes 1 to the number of cores."""
    detector: str | None = None
    """See ``open_detector``."""
    detect_every: int = DETECT_EVERY
    min_face: float = 0.15
    rule: Rule = SINGLE_STREAM
    """``QUICK`` marks the result as such."""
    json: bool = False
    """The result on standard output; the table then goes to standard error."""
    output: Path | None = None
    """File for the result."""
    root: Path = Path("/")
    """Where /proc, /sys and /etc are looked for."""


def bench(options: BenchOptions) -> int:
    """Measure every scenario at every number of threads; print, and write, what came out.

    Returns:
        The exit code: 0, or 130 when somebody ended it; what was measured until then is given.

    Raises:
        FerEdgeError: bad input, or a machine that lacks something.
    """
    plan = _plan(options)
    messages = Console(stderr=True)
    with StopRequest() as stop:
        session = _measure_all(options, plan, lambda: stop.signal is not None, messages)
    result = document(session, options.root)
    print_bench(result, messages if options.json else Console())
    _give(result, options.json, options.output, messages)
    return 0 if session.complete else INTERRUPTED


def compare_files(one: Path, other: Path, *, as_json: bool, output: Path | None) -> None:
    """Print, and write, the ratios of two results; raises FerEdgeError, see ``compare``."""
    if output is not None:
        _check_output(output)
    messages = Console(stderr=True)
    comparison = compare(one, other)
    print_comparison(comparison, messages if as_json else Console())
    _give(comparison, as_json, output, messages)


@dataclass(frozen=True)
class _Plan:
    """The options, checked."""

    threads: tuple[int, ...]
    scenarios: tuple[str, ...]
    paths: tuple[Path | None, ...]


@dataclass
class _Found:
    """What grows while measuring."""

    points: list[Point] = field(default_factory=list)
    models: tuple[Classifier, ...] = ()
    opened_s: tuple[float, ...] = ()
    detector: dict[str, Any] | None = None


def _plan(options: BenchOptions) -> _Plan:
    if options.scenario is not None and options.scenario not in SCENARIOS:
        raise FerEdgeError(
            f"no scenario '{options.scenario}'", f"there are {' and '.join(SCENARIOS)}"
        )
    if options.output is not None:
        _check_output(options.output)
    scenarios = (options.scenario,) if options.scenario else tuple(SCENARIOS)
    if "pipeline" not in scenarios and (options.video or options.images):
        raise FerEdgeError(
            "frames were named, but the model alone takes none", "leave them or --scenario out"
        )
    return _Plan(_thread_counts(options.threads), scenarios, options.bundles or (None,))


def _thread_counts(text: str | None) -> tuple[int, ...]:
    cores = len(os.sched_getaffinity(0))
    if text is None:
        return tuple(range(1, cores + 1))
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and len(word) < 5 and int(word) for word in words):
        raise FerEdgeError(
            f"--threads takes numbers with commas between, got '{text}'",
            "for example --threads 1,2,4",
        )
    counts = tuple(dict.fromkeys(int(word) for word in words))
    if max(counts) > cores:
        raise FerEdgeError(
            f"{max(counts)} threads are more than this process has cores, {cores}",
            f"for example --threads {cores}",
        )
    return counts


def _check_output(target: Path) -> None:
    """Find out before minutes of measuring, not after."""
    folder = next((parent for parent in target.parents if parent.exists()), Path())
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise explain(error, target) from error


def _measure_all(
    options: BenchOptions, plan: _Plan, stopped: Callable[[], bool], messages: Console
) -> Session:
    began, started = datetime.now(UTC), time.perf_counter()
    found, frames = _Found(), None
    keys = trusted_keys(options.keys)
    # opened first, so that a wrong file is told before anything is drawn or measured
    classifiers = _open(options, plan.paths, plan.threads[0], keys, found, messages)
    if "pipeline" in plan.scenarios:
        frames = read_frames(options.video, options.images, options.draw)
        _subjects(options, "pipeline", classifiers, frames, found)  # a wrong option is told now
    _announce(options, plan, messages)
    sensors = Sensors(options.root)
    idle_watts, before = sensors.idle_watts(), sensors.look()
    for threads in plan.threads:
        if threads != plan.threads[0] and not stopped():
            # the same again, also where another one has become the newest meanwhile
            same = [Path(classifier.name) for classifier in found.models]
            classifiers = _open(options, same, threads, keys, found, messages)
        for scenario in plan.scenarios:
            if not stopped():
                messages.print(f"{scenario}, threads {threads} …", highlight=False)
                subjects = _subjects(options, scenario, classifiers, frames, found)
                _measure(options.rule, scenario, threads, subjects, sensors, stopped, found)
    if not found.points:
        raise KeyboardInterrupt
    planned = len(plan.threads) * len(plan.scenarios)
    return Session(
        began=began,
        seconds=time.perf_counter() - started,
        rule=options.rule,
        quick=options.rule == QUICK,
        complete=len(found.points) == planned and found.points[-1].stream.complete,
        models=found.models,
        opened_s=found.opened_s,
        frames=frames,
        detector=found.detector,
        points=tuple(found.points),
        before=before,
        after=sensors.look(),
        idle_watts=idle_watts,
    )


def _open(
    options: BenchOptions,
    paths: Sequence[Path | None],
    threads: int,
    keys: Any,
    found: _Found,
    messages: Console,
) -> list[Classifier]:
    classifiers, seconds = [], []
    for path in paths:
        began = time.perf_counter()
        classifiers.append(
            open_chosen(path, threads=threads, keys=keys, say=lambda line: _warn(line, messages))
        )
        seconds.append(time.perf_counter() - began)
    for classifier, first in zip(classifiers, found.models, strict=False):
        if classifier.sha256 != first.sha256:
            raise FerEdgeError(
                f"{classifier.name} has changed while it was measured", "measure again"
            )
    if not found.models:
        found.models, found.opened_s = tuple(classifiers), tuple(seconds)
        for note in dict.fromkeys(note for each in classifiers for note in each.notes):
            _warn(note, messages)
    return classifiers


def _subjects(
    options: BenchOptions,
    scenario: str,
    classifiers: Sequence[Classifier],
    frames: Frames | None,
    found: _Found,
) -> list[Subject]:
    if frames is None or scenario == "model":
        return [ModelAlone(classifier) for classifier in classifiers]
    subjects: list[Subject] = []
    every = options.detect_every if frames.fps is not None else 1
    for classifier in classifiers:
        detector = open_detector(options.detector, min_face=options.min_face)
        subjects.append(WholePipeline(classifier, frames, detector, every))
        found.detector = {"name": detector.name, "every": every, "min_face": options.min_face}
    return subjects


def _measure(
    rule: Rule,
    scenario: str,
    threads: int,
    subjects: Sequence[Subject],
    sensors: Sensors,
    stopped: Callable[[], bool],
    found: _Found,
) -> None:
    """Measure one point; one that was ended before its first query is none."""
    opencv = opencv_threads(threads) if scenario == "pipeline" else nullcontext()
    with opencv, Watch(sensors) as watch:
        stream = measure([subject.query for subject in subjects], rule, stopped)
    if len(stream.times[0]):
        details = tuple(subject.details(stream.warm_up) for subject in subjects)
        found.points.append(Point(scenario, threads, stream, details, tuple(watch.looks)))


def _announce(options: BenchOptions, plan: _Plan, messages: Console) -> None:
    rule, points = options.rule, len(plan.scenarios) * len(plan.threads) * len(plan.paths)
    seconds = points * (rule.min_seconds + rule.warm_up_seconds)
    took = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} minutes"
    numbers = ", ".join(map(str, plan.threads))
    messages.print(
        f"{' and '.join(SCENARIOS[name] for name in plan.scenarios)}, threads {numbers}: "
        f"{took} or more; Ctrl-C ends it with what was measured",
        highlight=False,
        soft_wrap=True,
    )


def _give(result: dict[str, Any], as_json: bool, output: Path | None, messages: Console) -> None:
    if as_json:
        print(json.dumps(result, ensure_ascii=False), flush=True)
    if output is not None:
        write_text(output, json.dumps(result, indent=2, ensure_ascii=False) + "\n")
        messages.print(f"wrote {escape(str(output))}", soft_wrap=True, highlight=False)


def _warn(text: str, messages: Console) -> None:
    messages.print(f"[yellow]{escape(text)}[/]", soft_wrap=True, highlight=False)
