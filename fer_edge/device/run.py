"""One run: open everything, prove the bundle, put every frame through the pipeline, sum up."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from fer_edge.board import Board, read_board, read_health
from fer_edge.bundle.minisign import PublicKey
from fer_edge.bundle.trust import given_keys
from fer_edge.device.classifier import Classifier
from fer_edge.device.control import Control
from fer_edge.device.detectors import open_detector
from fer_edge.device.messages import open_messages
from fer_edge.device.opening import open_chosen
from fer_edge.device.outputs import (
    CODECS,
    AnnotatedPictures,
    AnnotatedVideo,
    Answers,
    JsonLines,
    Output,
    OutputClosed,
    StatusLine,
    Window,
)
from fer_edge.device.pipeline import Result, run_pipeline
from fer_edge.device.services import ServiceOptions, open_services
from fer_edge.device.signals import StopRequest
from fer_edge.device.smoothing import NO_SMOOTHING, Smoothing
from fer_edge.device.sources import Frame, Source, open_source, option_for, refuse_address
from fer_edge.device.summary import Tally, print_summary
from fer_edge.device.supervisor import Supervisor
from fer_edge.device.threads import check_threads
from fer_edge.device.tracking import (
    DETECT_EVERY,
    EachFrame,
    FaceTracker,
    Finder,
    check_detect_every,
)
from fer_edge.device.vitals import Rate, Vitals
from fer_edge.errors import FerEdgeError
from fer_edge.files import refuse_replacing

INTERRUPTED = 130
"""Exit code after Ctrl-C, or when the terminal hung up."""


@dataclass(frozen=True)
class RunOptions:
    """What ``fer-edge run`` was asked for; exactly one of video, images and camera is given."""

    bundle: Path | None = None
    """A bundle, a folder of installed ones, or a bare model; None takes the newest bundle in
    ./bundles or here, else the installed one, else the shipped one."""
    keys: tuple[Path, ...] = ()
    """Public keys of which one must have signed the bundle; none takes those configured."""
    video: Path | None = None
    images: Path | None = None
    """A picture, or a folder or an archive of pictures."""
    camera: str | None = None
    """A number, a path in /dev, or an address."""
    threads: int = 1
    """Threads that one inference may use, at most as many as there are cores."""
    min_face: float = 0.15
    """Smallest face, as a fraction of the frame's shorter side."""
    detector: str | None = None
    """See ``open_detector``."""
    detect_every: int = DETECT_EVERY
    """Frames from one detection to the next; faces are followed in between."""
    smoothing: Smoothing = field(default_factory=Smoothing)
    """Of each face's expression over time; pictures are taken one by one."""
    max_frames: int | None = None
    save: Path | None = None
    """Annotated video to write; of pictures also a folder for them, or of one a picture."""
    show: bool = False
    json: bool = False
    """Events and summary on standard output; the table then goes to standard error, and of pictures
    there are no answers."""
    every_frame: bool = False
    """A JSON line for a frame without a face as well."""
    services: ServiceOptions = field(default_factory=ServiceOptions)
    """The log, the web page and MQTT."""


def run(options: RunOptions) -> int:
    """Run until the source ends, ``max_frames`` are done, or somebody stops it.

    Returns:
        The exit code: 0, or 130 after Ctrl-C or when the terminal hung up.

    Raises:
        FerEdgeError: bad input, or a machine that lacks something. When the source fails in
            mid-run, outputs are finished and the summary is given first.
    """
    check_options(options)
    messages = open_messages()
    board = read_board()
    with StopRequest() as stop, Supervisor.from_environment() as supervisor:
        summary, ended = _run(options, stop, supervisor, board, messages)
        if not ended.unread:
            print_summary(summary, board, messages if options.json else Console())
            if options.save is not None and ended.unfinished is None:
                written = f"wrote {escape(str(options.save))}"
                messages.print(written, soft_wrap=True, highlight=False)
    if failure := ended.failure or ended.unfinished:
        raise failure
    return INTERRUPTED if stop.interrupted else 0


def _run(
    options: RunOptions,
    stop: StopRequest,
    supervisor: Supervisor,
    board: Board,
    messages: Console,
) -> tuple[dict[str, Any], _End]:
    before = read_health()

    def warn(text: str) -> None:
        _warn(text, messages)

    def report(text: str) -> None:
        supervisor.status(text)
        warn(text)

    def stopped() -> bool:
        if source.recovering:
            supervisor.working()
        return stop.signal is not None

    source = open_source(
        video=options.video,
        images=options.images,
        camera=options.camera,
        colour=options.show or options.save is not None,
        report=report,
        stopped=stopped,
    )
    with ExitStack() as stack:
        supervisor.status("proving the bundle")
        keys = given_keys(options.keys)
        classifier = open_model(options, keys, warn)
        finder = make_finder(options, keys)
        supervisor.status(f"opening {source.name}")
        stack.enter_context(source)
        tally, control = Tally(), Control()
        vitals = Vitals(tally, source, classifier, board, control)
        outputs = vitals.outputs
        outputs += _outputs(options, vitals, messages)
        for output in outputs:
            stack.enter_context(output)
        taken = stack.enter_context(closing(source.frames()))
        rate = Rate()

        def moving() -> None:
            supervisor.moving(lambda: _status(vitals, rate))

        def idle() -> None:
            moving()
            for output in outputs:
                output.idle()

        told = tell_unsigned(taken, classifier, warn)
        frames = control.gate(told, live=source.live, stopped=stopped, idle=idle)
        pipeline = run_pipeline(
            frames,
            finder,
            classifier,
            smoothing=smoothing_of(options).for_model(classifier.min_confidence),
        )
        results = stack.enter_context(closing(pipeline))
        tally.start()
        ended = _consume(results, outputs, tally, stop, options.max_frames, moving)
        supervisor.stopping()
        if tally.frames == 0:
            # leaving by an exception lets the outputs clean up after themselves
            raise ended.failure or (KeyboardInterrupt() if stop.interrupted else SystemExit(0))
        summary = tally.summary(
            classifier=classifier,
            finder=finder,
            source=source.name,
            counts=source.counts,
            board=board,
            before=before,
            after=read_health(),
            interrupted=stop.signal is not None,
        )
        summary["frames"]["paused"] = control.let_go
        for output in outputs:
            output.settle()
        summary["lost"] = vitals.lost()
        ended = _finish(outputs, summary, ended)
    return summary, ended


@dataclass(frozen=True)
class _End:
    """Why the frames ended, other than that there were no more."""

    failure: FerEdgeError | None = None
    """The source broke down in mid-run."""
    unfinished: FerEdgeError | None = None
    """An output could not take the summary."""
    unread: bool = False
    """Whoever read standard output has gone."""


def _consume(
    results: Iterator[Result],
    outputs: list[Output],
    tally: Tally,
    stop: StopRequest,
    max_frames: int | None,
    moving: Callable[[], None],
) -> _End:
    """Give every result to every output, until the frames end or somebody ends them."""
    while stop.signal is None and tally.frames != max_frames:
        try:
            result = next(results)
        except StopIteration:
            break
        except FerEdgeError as error:
            return _End(failure=error)
        tally.add(result)
        if result.events:
            result = replace(result, recent=tally.latencies.recent("total"))
        began = time.perf_counter()
        try:
            for output in outputs:
                output.write(result)
        except OutputClosed as closed:
            return _End(unread=closed.unread)
        tally.latencies.add("output", (time.perf_counter() - began) * 1e3)
        moving()
    return _End()


def _finish(outputs: list[Output], summary: dict[str, Any], ended: _End) -> _End:
    """Give every output the summary: one that cannot take it does not keep it from the others."""
    for output in outputs:
        try:
            output.finish(summary)
        except OutputClosed as closed:
            ended = replace(ended, unread=ended.unread or closed.unread)
        except FerEdgeError as error:
            ended = replace(ended, unfinished=ended.unfinished or error)
    return ended


def _status(vitals: Vitals, rate: Rate) -> str:
    """What a service manager shows of a run."""
    if not vitals.control.running:
        return f"{vitals.source.name}: stopped on the page, {vitals.control.let_go} frames let go"
    frames = vitals.tally.frames
    parts = [f"{vitals.source.name}: {frames} frames, {rate.of(frames)} a second"]
    if recent := vitals.tally.latencies.recent("total"):
        parts.append(f"frame to label p50 {recent.p50:.1f} ms, p90 {recent.p90:.1f} ms")
    return ", ".join([*parts, vitals.classifier.name])


def check_options(options: RunOptions) -> None:
    """Raise FerEdgeError where an option is wrong, before anything is opened."""
    for name, value in (("--threads", options.threads), ("--max-frames", options.max_frames)):
        if value is not None and value < 1:
            raise FerEdgeError(f"{name} is at least 1, got {value}", f"for example {name} 4")
    check_threads(options.threads)
    check_detect_every(options.detect_every)
    refuse_address(options.bundle, options.video, options.images)
    bundle, sources = options.bundle, (options.video, options.images, options.camera)
    for named in (bundle, options.video, options.images, options.detector):
        if named is not None and "\0" in str(named):  # which the system's own calls do not take
            raise FerEdgeError(
                f"{str(named)!r} has a NUL character in it, as no file's name has",
                "correct the name",
            )
    if bundle is not None and not any(sources) and (option := option_for(bundle)):
        raise FerEdgeError(
            f"{bundle} is no bundle, and no source of frames is named",
            f"name it as one: fer-edge run {option} {shlex.quote(str(bundle))}",
        )
    if options.save is not None:
        refuse_replacing("--save", options.save, ("video", options.video))
        log = options.services.log
        if log is not None and os.path.realpath(log) == os.path.realpath(options.save):
            raise FerEdgeError(
                f"--log and --save are one file, {log}", "give each of them a name of its own"
            )


def open_model(
    options: RunOptions, keys: Sequence[PublicKey] | None, warn: Callable[[str], None]
) -> Classifier:
    """What names the expressions; ``warn`` is told of what a person should know of it."""
    classifier = open_chosen(options.bundle, threads=options.threads, keys=keys, say=warn)
    for note in classifier.notes:
        warn(note)
    if not classifier.verified:
        warn(
            f"{classifier.name} is a bare model: nothing vouches for its content, its labels or "
            "its accuracy"
        )
    return classifier


def tell_unsigned(
    frames: Iterator[Frame], classifier: Classifier, warn: Callable[[str], None]
) -> Iterator[Frame]:
    """The frames; with the first one ``warn`` is told where no signature of the bundle was checked.

    So what is wrong before there is one is told alone.
    """
    for number, frame in enumerate(frames):
        if number == 0 and classifier.verified and classifier.signer is None:
            warn(f"{classifier.name}: no signature was checked; --key FILE.pub asks for one")
        yield frame


def make_finder(options: RunOptions, keys: Sequence[PublicKey] | None) -> Finder:
    """What finds the faces: in every picture, or from frame to frame."""
    detector = open_detector(options.detector, min_face=options.min_face, keys=keys)
    if options.images is not None:
        return EachFrame(detector)
    return FaceTracker(detector, detect_every=options.detect_every)


def smoothing_of(options: RunOptions) -> Smoothing:
    """How expressions are smoothed over time: those of pictures are not."""
    if options.images is None:
        return options.smoothing
    return replace(NO_SMOOTHING, min_confidence=options.smoothing.min_confidence)


def _outputs(options: RunOptions, vitals: Vitals, messages: Console) -> list[Output]:
    source, labels, tally = vitals.source, vitals.classifier.labels, vitals.tally
    outputs: list[Output] = []
    if options.save is not None:
        outputs.append(_annotated(options.save, options.images, source))
    if options.show:
        outputs.append(Window())
    if options.json:
        outputs.append(JsonLines(sys.stdout, labels, every_frame=options.every_frame))
    outputs += open_services(
        options.services,
        vitals,
        every_frame=options.every_frame,
        report=lambda text: _warn(text, messages),
    )
    if options.images is not None and not options.json:
        outputs.append(Answers(sys.stdout, labels))
    else:
        outputs.append(StatusLine(tally.latencies, messages, lambda: source.counts.dropped))
    return outputs


def _annotated(save: Path, images: Path | None, source: Source) -> Output:
    if images is None or save.suffix.lower() in CODECS:
        return AnnotatedVideo(save, source.fps, live=source.live)
    return AnnotatedPictures(save, images)


def _warn(text: str, messages: Console) -> None:
    messages.print(f"[yellow]{escape(text)}[/]", soft_wrap=True, highlight=False)
