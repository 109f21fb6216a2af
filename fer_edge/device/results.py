"""What ``fer_edge.open`` gives: the results of a source, frame by frame."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Self

from fer_edge.bundle.trust import given_keys
from fer_edge.device.opened import Opened
from fer_edge.device.pipeline import Result, run_pipeline
from fer_edge.device.run import (
    RunOptions,
    check_options,
    make_finder,
    open_model,
    smoothing_of,
    tell_unsigned,
)
from fer_edge.device.sources import Source, SourceCounts, open_source
from fer_edge.errors import FerEdgeError

_LOG = logging.getLogger("fer_edge")


class Results(Opened):
    """A context manager that gives every frame's faces, once, as ``fer-edge run`` finds them.

    What ``run`` prints in yellow, such as a camera's faults, goes to the logger ``fer_edge``; when
    it is closed, so do the remarks that end a run's summary, such as the names of broken pictures.

    Attributes:
        labels: the expressions, in the order of a face's ``probabilities``; once it is open.
    """

    labels: tuple[str, ...]

    def __init__(self, options: RunOptions) -> None:
        """Raise FerEdgeError where an option is wrong."""
        check_options(options)
        self._options = options
        self._stack = ExitStack()
        self._source: Source | None = None
        self._results: Iterator[Result] | None = None
        self._lock = threading.RLock()  # whoever has it uses the source
        self._reading = False
        self._ending = threading.Event()

    def open(self) -> None:
        """Prove the bundle and open the source; raises FerEdgeError as ``run`` does."""
        options = self._options
        self._ending.clear()
        with self._lock, ExitStack() as opening:
            source = open_source(
                video=options.video,
                images=options.images,
                camera=options.camera,
                colour=True,
                report=_LOG.warning,
                stopped=self._ending.is_set,
            )
            keys = given_keys(options.keys)
            classifier = open_model(options, keys, _LOG.warning)
            finder = make_finder(options, keys)
            opening.enter_context(source)
            frames = opening.enter_context(closing(source.frames()))
            pipeline = run_pipeline(
                tell_unsigned(frames, classifier, _LOG.warning),
                finder,
                classifier,
                smoothing=smoothing_of(options).for_model(classifier.min_confidence),
            )
            self._results = opening.enter_context(closing(pipeline))
            self.labels = classifier.labels
            self._source = source
            self._stack = opening.pop_all()

    def close(self) -> None:
        """End the iteration and let go of the source; any thread may do so, or a signal's handler.

        A camera that gives nothing is waited for no longer.
        """
        self._ending.set()
        with self._lock:
            # a signal's handler that interrupts the reading leaves it to that
            if not self._reading:
                self._let_go()

    @property
    def counts(self) -> SourceCounts:
        """What became of the frames that were not given, so far; raises FerEdgeError: not open."""
        if self._source is None:
            raise _not_open()
        return self._source.counts

    def __iter__(self) -> Self:
        if self._results is None:
            raise _not_open()
        return self

    def __next__(self) -> Result:
        with self._lock:
            self._reading = True
            try:
                result = next(self._begun())
            finally:
                self._reading = False
                if self._ending.is_set():
                    self._let_go()
        if self._ending.is_set():
            raise StopIteration  # the pixels are no longer ours
        return result

    def _begun(self) -> Iterator[Result]:
        if self._results is not None:
            return self._results
        raise StopIteration if self._ending.is_set() else _not_open()

    def _let_go(self) -> None:
        if self._results is None:
            return
        self._results = None
        self._stack.close()
        for note in self.counts.notes:
            _LOG.warning(note)


def _not_open() -> FerEdgeError:
    return FerEdgeError(
        "the source of the results is not open",
        "with fer_edge.open(…) as results: for result in results: …",
    )
