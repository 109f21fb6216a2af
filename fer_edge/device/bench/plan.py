"""What ``fer-edge bench`` was asked for, checked before minutes are spent on it."""

from __future__ import annotations

import errno
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from fer_edge.device.bench.frames import Draw
from fer_edge.device.bench.rule import SINGLE_STREAM, Rule
from fer_edge.device.bench.table import SCENARIOS
from fer_edge.device.sources import refuse_address
from fer_edge.device.threads import check_threads, cores
from fer_edge.device.tracking import DETECT_EVERY, check_detect_every
from fer_edge.errors import FerEdgeError
from fer_edge.files import explain, refuse_replacing

MOST_BUNDLES = 8
"""That take turns."""


@dataclass(frozen=True)
class BenchOptions:
    """What ``fer-edge bench`` was asked for."""

    draw: Draw
    """Draws frames where none are named; see ``read_frames``."""
    bundles: tuple[Path, ...] = ()
    """Bundles, folders of installed ones or bare models, which take turns; none takes the newest
    bundle in ./bundles or here, else the installed one, else the shipped one."""
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
    """Frames from one detection to the next; pictures are searched one by one."""
    min_face: float = 0.15
    """Smallest face, as a fraction of the frame's shorter side."""
    rule: Rule = SINGLE_STREAM
    """``QUICK`` marks the result as such."""
    json: bool = False
    """The result on standard output; the table then goes to standard error."""
    output: Path | None = None
    """File for the result."""
    root: Path = Path("/")
    """Where /proc, /sys and /etc are looked for."""


@dataclass(frozen=True)
class Plan:
    """What will be measured: every scenario at every number of threads."""

    threads: tuple[int, ...]
    scenarios: tuple[str, ...]
    paths: tuple[Path | None, ...]
    """Of the models; a single None means the one that is found."""

    def seconds(self, rule: Rule) -> float:
        """How long that takes at least."""
        points = len(self.threads) * len(self.scenarios) * len(self.paths)
        return points * (rule.min_seconds + rule.warm_up_seconds)


def make_plan(options: BenchOptions) -> Plan:
    """Check what can be checked without opening a model.

    Raises:
        FerEdgeError: an option is wrong, or the result could not be written.
    """
    if options.scenario is not None and options.scenario not in SCENARIOS:
        raise FerEdgeError(
            f"no scenario '{options.scenario}'", f"there are {' and '.join(SCENARIOS)}"
        )
    if len(options.bundles) > MOST_BUNDLES:
        raise FerEdgeError(
            f"{len(options.bundles)} models are too many to take turns", f"name {MOST_BUNDLES}"
        )
    refuse_address(*options.bundles, options.video, options.images)
    scenarios = (options.scenario,) if options.scenario else tuple(SCENARIOS)
    if "pipeline" not in scenarios and (options.video or options.images):
        raise FerEdgeError(
            "frames were named, but the model alone takes none", "leave them or --scenario out"
        )
    check_detect_every(options.detect_every)
    if options.output is not None:
        keys = (("key", key) for key in options.keys)
        check_output(options.output, ("video", options.video), ("file", options.images), *keys)
    return Plan(_thread_counts(options.threads), scenarios, options.bundles or (None,))


def check_output(target: Path, *read: tuple[str, Path | None]) -> None:
    """Find out whether a file could be written, without writing it; raises FerEdgeError if not.

    ``read`` is what it may not replace; see ``refuse_replacing``.
    """
    refuse_replacing("-o", target, *read)
    folder = next((parent for parent in target.parents if parent.exists()), Path())
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise explain(error, target) from error


def _thread_counts(text: str | None) -> tuple[int, ...]:
    if text is None:
        return tuple(range(1, cores() + 1))
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and len(word) < 5 and int(word) for word in words):
        raise FerEdgeError(
            f"--threads takes numbers with commas between, got '{text}'",
            "for example --threads 1,2,4",
        )
    counts = tuple(dict.fromkeys(int(word) for word in words))
    check_threads(max(counts))
    return counts
