"""One benchmark from options to JSON and table."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from fer_edge.bundle.trust import given_keys
from fer_edge.device.bench.compare import compare, print_comparison
from fer_edge.device.bench.document import Point, Session, document
from fer_edge.device.bench.frames import Frames, read_frames
from fer_edge.device.bench.plan import BenchOptions, Plan, check_output, make_plan
from fer_edge.device.bench.rule import QUICK
from fer_edge.device.bench.sensors import Sensors, Watch
from fer_edge.device.bench.stream import measure
from fer_edge.device.bench.subjects import ModelAlone, Subject, WholePipeline, opencv_threads
from fer_edge.device.bench.table import SCENARIOS, print_bench
from fer_edge.device.classifier import Classifier
from fer_edge.device.detectors import detector_file, open_detector
from fer_edge.device.messages import open_messages
from fer_edge.device.opening import open_chosen
from fer_edge.device.signals import StopRequest
from fer_edge.errors import FerEdgeError
from fer_edge.files import refuse_replacing, sha256, write_text

INTERRUPTED = 130
"""Exit code when somebody ended it before it was complete."""


def bench(options: BenchOptions) -> int:
    """Measure every scenario at every number of threads; print, and write, what came out.

    Returns:
        The exit code: 0, or 130 when somebody ended it; what was measured until then is given.

    Raises:
        FerEdgeError: bad input, or a machine that lacks something.
        KeyboardInterrupt: somebody ended it before anything was measured.
    """
    plan = make_plan(options)
    messages = open_messages()
    with StopRequest() as stop:
        session = _Bench(options, plan, lambda: stop.signal is not None, messages).run()
    result = document(session, options.root)
    print_bench(result, messages if options.json else Console())
    _give(result, options.json, options.output, messages)
    return 0 if session.complete else INTERRUPTED


def compare_files(one: Path, other: Path, *, as_json: bool, output: Path | None) -> None:
    """Print, and write, the ratios of two results; raises FerEdgeError, see ``compare``."""
    if output is not None:
        check_output(output, ("result", one), ("result", other))
    messages = open_messages()
    comparison = compare(one, other)
    print_comparison(comparison, messages if as_json else Console())
    _give(comparison, as_json, output, messages)


class _Bench:
    """A benchmark under way."""

    def __init__(
        self, options: BenchOptions, plan: Plan, stopped: Callable[[], bool], messages: Console
    ) -> None:
        self._options = options
        self._plan = plan
        self._stopped = stopped
        self._messages = messages
        self._keys = given_keys(options.keys)
        self._sensors = Sensors(options.root)
        self._models: tuple[Classifier, ...] = ()
        self._opened_s: tuple[float, ...] = ()
        self._frames: Frames | None = None
        self._detector: dict[str, Any] | None = None
        self._points: list[Point] = []

    def run(self) -> Session:
        """Open, announce, measure; whatever is wrong with the input is told before measuring."""
        began, started = datetime.now(UTC), time.perf_counter()
        options, plan = self._options, self._plan
        self._open(plan.paths, plan.threads[0])
        if "pipeline" in plan.scenarios:
            self._frames = read_frames(options.video, options.images, options.draw)
            self._subjects("pipeline")
        self._announce()
        idle_watts, before = self._sensors.idle_watts(), self._sensors.look()
        for threads in plan.threads:
            self._measure_at(threads)
        if not self._points:
            raise KeyboardInterrupt
        planned = len(plan.threads) * len(plan.scenarios)
        return Session(
            began=began,
            seconds=time.perf_counter() - started,
            rule=options.rule,
            quick=options.rule == QUICK,
            complete=len(self._points) == planned and self._points[-1].stream.complete,
            models=self._models,
            opened_s=self._opened_s,
            frames=self._frames,
            detector=self._detector,
            points=tuple(self._points),
            before=before,
            after=self._sensors.look(),
            idle_watts=idle_watts,
        )

    def _open(self, paths: Sequence[Path | None], threads: int) -> None:
        """Open the models, or the same models again for another number of threads."""
        models, seconds = [], []
        for path in paths:
            began = time.perf_counter()
            models.append(open_chosen(path, threads=threads, keys=self._keys, say=self._warn))
            seconds.append(time.perf_counter() - began)
        for model, before in zip(models, self._models, strict=False):
            if model.sha256 != before.sha256:
                raise FerEdgeError(f"{model.name} changed while it was measured", "measure again")
        if not self._models:
            self._keep(*(("model", Path(model.name)) for model in models))
            self._opened_s = tuple(seconds)
            for note in dict.fromkeys(note for model in models for note in model.notes):
                self._warn(note)
        self._models = tuple(models)

    def _measure_at(self, threads: int) -> None:
        """Measure every scenario, unless somebody has ended it."""
        if threads != self._plan.threads[0] and not self._stopped():
            # by their names, as another bundle may have become the newest meanwhile
            self._open([Path(model.name) for model in self._models], threads)
        for scenario in self._plan.scenarios:
            if not self._stopped():
                self._messages.print(f"{scenario}, threads {threads} …", highlight=False)
                self._measure(scenario, threads)

    def _measure(self, scenario: str, threads: int) -> None:
        """Measure one point; one that was ended before its first query is none."""
        subjects = self._subjects(scenario)
        queries = [subject.query for subject in subjects]
        opencv = opencv_threads(threads) if scenario == "pipeline" else nullcontext()
        with opencv, Watch(self._sensors) as watch:
            stream = measure(queries, self._options.rule, self._stopped)
        if len(stream.times[0]):
            details = tuple(subject.details(stream.warm_up) for subject in subjects)
            self._points.append(Point(scenario, threads, stream, details, tuple(watch.looks)))

    def _subjects(self, scenario: str) -> Sequence[Subject]:
        options, frames = self._options, self._frames
        if frames is None or scenario == "model":
            return [ModelAlone(model) for model in self._models]
        every = options.detect_every if frames.fps is not None else 1
        subjects = []
        for model in self._models:
            detector = open_detector(options.detector, min_face=options.min_face, keys=self._keys)
            subjects.append(WholePipeline(model, frames, detector, every))
            file = detector_file(options.detector)
            self._keep(("detector", file))
            self._detector = {
                "name": detector.name,
                "sha256": None if file is None else sha256(file),
                "every": every,
                "min_face": options.min_face,
            }
        return subjects

    def _keep(self, *read: tuple[str, Path | None]) -> None:
        """Raise FerEdgeError where the result would replace what was found to be read."""
        if self._options.output is not None:
            refuse_replacing("-o", self._options.output, *read)

    def _announce(self) -> None:
        seconds = self._plan.seconds(self._options.rule)
        took = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} minutes"
        self._messages.print(
            f"{' and '.join(SCENARIOS[name] for name in self._plan.scenarios)}, threads "
            f"{', '.join(map(str, self._plan.threads))}: {took} or more; Ctrl-C ends it with what "
            "was measured",
            highlight=False,
            soft_wrap=True,
        )

    def _warn(self, text: str) -> None:
        self._messages.print(f"[yellow]{escape(text)}[/]", soft_wrap=True, highlight=False)


def _give(result: dict[str, Any], as_json: bool, output: Path | None, messages: Console) -> None:
    if as_json:
        print(json.dumps(result, ensure_ascii=False), flush=True)
    if output is not None:
        write_text(output, json.dumps(result, indent=2, ensure_ascii=False) + "\n")
        messages.print(f"wrote {escape(str(output))}", soft_wrap=True, highlight=False)
