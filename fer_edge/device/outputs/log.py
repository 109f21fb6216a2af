"""Events as JSON lines in a file that is rotated, so that its size is bounded."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fer_edge.device.outputs.base import Output
from fer_edge.device.outputs.jsonl import as_lines, entries, track_event
from fer_edge.device.pipeline import Result
from fer_edge.errors import FerEdgeError

FILES = 4
"""The log and its older parts: events.jsonl, events.jsonl.1, .2 and .3, the oldest."""

RETRY_S = 5.0
"""Seconds from a failure to the next attempt to write."""

_BEGIN = b'{"'
"""How every line begins, and so every log."""


class _NoLog(OSError):
    """The file holds something else, which is not to be cut down to whole lines."""


class LogFile(Output):
    """Appends to a file. When that fails, the run goes on; it is said once, and lines are counted.

    Whole lines only: what a power cut or a full disk left of a line is taken back. Once it can be
    written again, a line ``{"gap": N}`` stands for the N lines that are missing.
    """

    name = "log"

    def __init__(
        self,
        path: Path,
        labels: tuple[str, ...],
        *,
        limit: int,
        faces: bool = True,
        every_frame: bool = False,
        report: Callable[[str], None] = lambda text: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        path: its folder is made if there is none; of a link, where it leads to.
        labels: of the probabilities.
        limit: how many bytes the log and its older parts take together, at most.
        faces: whether it tells of every face of every frame, and not only of what happens to them.
        every_frame: whether it then tells of a frame without a face, too.
        report: is told when it cannot be written, and when it can again.
        clock: in seconds.
        """
        # renaming a link would leave the parts beside it, perhaps on another disk
        self.path = Path(os.path.realpath(path))
        self.lost = 0
        self._labels = labels
        self._faces = faces
        self._every_frame = every_frame
        self._part = limit // FILES
        self._report = report
        self._clock = clock
        self._file: int | None = None
        self._size = 0
        self._gap = 0
        self._retry_at = 0.0

    def open(self) -> None:
        """Begin the log, or go on with it; raises FerEdgeError where that is impossible."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._open()
        except BlockingIOError as error:
            raise FerEdgeError(
                f"another run writes to the log {self.path}", "give each run a log of its own"
            ) from error
        except _NoLog as error:
            raise FerEdgeError(
                f"cannot write the log {self.path}: {_reason(error)}",
                "name another file, or move this one away",
            ) from error
        except OSError as error:
            raise FerEdgeError(
                f"cannot write the log {self.path}: {_reason(error)}",
                "name a file that you may write to, on a disk with space",
            ) from error

    def close(self) -> None:
        self._close()

    def write(self, result: Result) -> None:
        """Append the events of one frame."""
        if self._faces:
            told = entries(result, self._labels, every_frame=self._every_frame)
        else:
            told = [track_event(result, happened) for happened in result.events]
        self._append(told)

    def finish(self, summary: dict[str, Any]) -> None:
        """Append the summary."""
        self._retry_at = 0.0
        self._append([summary])
        if self._gap:
            self._report(f"{self.path} lacks the last {self._gap} lines of {self.lost} lost")

    def _append(self, objects: list[dict[str, Any]]) -> None:
        if not objects:
            return
        if self._gap and self._clock() < self._retry_at:
            self._lose(len(objects))
            return
        gap = [{"gap": self._gap}] if self._gap else []
        try:
            self._put(as_lines(gap + objects).encode())
        except OSError as error:
            if not self._gap:
                self._report(
                    f"cannot write {self.path}: {_reason(error)}; going on without, "
                    f"trying again every {RETRY_S:.0f} s"
                )
            self._close()
            self._lose(len(objects))
            self._retry_at = self._clock() + RETRY_S
        else:
            if self._gap:
                self._report(f"{self.path} is written again; {self._gap} lines are missing")
            self._gap = 0

    def _lose(self, lines: int) -> None:
        self._gap += lines
        self.lost += lines

    def _put(self, data: bytes) -> None:
        if self._file is not None and not self._in_place():
            self._close()
        if self._file is None:
            self._open()
        if self._size and self._size + len(data) > self._part:
            self._rotate()
        assert self._file is not None
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(data)

    def _open(self) -> None:
        self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._close()
            raise
        except OSError:  # of a file system without locks
            pass
        begin = os.pread(self._file, 4096, 0)
        # a power cut may leave a file's length, and zeros in place of its content
        if any(begin) and not _BEGIN.startswith(begin[: len(_BEGIN)]):
            self._close()
            raise _NoLog("it holds something that is no log")
        self._size = _end_of_last_line(self._file)
        os.ftruncate(self._file, self._size)

    def _in_place(self) -> bool:
        """Whether the open file is still the one of that name: others tidy up, too."""
        assert self._file is not None
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(found, os.fstat(self._file))

    def _rotate(self) -> None:
        self._close()
        for age in range(FILES - 1, 0, -1):
            younger = self._aged(age - 1)
            if younger.exists():
                younger.replace(self._aged(age))
        self._open()

    def _aged(self, age: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{age}") if age else self.path

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            # a network's file system may tell of a failed write here; no log ends a run
            with contextlib.suppress(OSError):
                os.close(file)


def _end_of_last_line(file: int) -> int:
    """Where the last whole line of a file ends, in bytes."""
    end = os.fstat(file).st_size
    while end > 0:
        start = max(0, end - 65536)
        found = os.pread(file, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
