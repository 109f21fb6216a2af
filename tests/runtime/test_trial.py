"""Native code may end a process; a rehearsal ends with a message."""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import resource
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fer_edge.chatter import _silence, silenced_stderr
from fer_edge.errors import FerEdgeError
from fer_edge.runtime.trial import NoProcess, as_rehearsed, limited_memory, rehearse


def test_what_returns_or_raises_is_survived_and_leaves_nothing_behind() -> None:
    done: list[int] = []
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    before = children.read_text()
    rehearse(lambda: done.append(1), seconds=5)
    assert done == [], "the child works on its own copy"

    def fail() -> None:
        raise KeyError("x")

    rehearse(fail, seconds=5)
    assert children.read_text() == before


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE, signal.SIGKILL])
def test_a_child_that_a_signal_ended_is_named(number: signal.Signals) -> None:
    with pytest.raises(FerEdgeError, match=f"it ended the process with {number.name}"):
        rehearse(lambda: os.kill(os.getpid(), number), seconds=5)


def test_a_wrong_address_in_native_code_is_survived() -> None:
    with pytest.raises(FerEdgeError, match="SIGSEGV"):
        rehearse(lambda: ctypes.string_at(0), seconds=5)


class Recorder:
    """As a video's reader does, it ends a thread of its own when it is thrown away."""

    def __init__(self) -> None:
        self.me = self
        self.pid = os.getpid()

    def __del__(self) -> None:
        if os.getpid() != self.pid:
            time.sleep(60)


def test_a_child_does_not_collect_what_the_parent_threw_away() -> None:
    gc.collect()
    Recorder()
    # far more objects than the collector lets pass
    rehearse(lambda: [[] for _ in range(100_000)], seconds=3)
    assert gc.collect(), "the parent has not collected it before"


def test_a_child_can_silence_libraries_whatever_another_thread_was_at() -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with _silence._lock:
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    entered.wait(10)

    def silence() -> None:
        with silenced_stderr():
            pass

    try:
        rehearse(silence, seconds=3)
    finally:
        leave.set()
        thread.join()


@pytest.fixture
def no_signal_of_children() -> Iterator[None]:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGCHLD, before)


def test_a_child_tells_its_end_where_the_program_ignores_children(
    no_signal_of_children: None,
) -> None:
    assert rehearse(lambda: None, seconds=5)
    assert not rehearse(lambda: 1 / 0, seconds=5)
    with pytest.raises(FerEdgeError, match="it ended the process with a signal"):
        rehearse(lambda: os.kill(os.getpid(), signal.SIGSEGV), seconds=5)


def test_a_child_that_hangs_is_ended_where_the_program_blocks_all_signals() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        with pytest.raises(FerEdgeError, match="it did not end within 1 s"):
            rehearse(lambda: time.sleep(60), seconds=1)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_a_machine_without_room_for_a_process_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> int:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", full)
    with pytest.raises(NoProcess, match="no process can be started") as refused:
        rehearse(lambda: None, seconds=5)
    assert refused.value.hint == "end other programs"


def test_a_shortage_of_processes_for_a_moment_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fork, full = os.fork, [True, True]

    def now_and_then() -> int:
        if full:
            full.pop()
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        return fork()

    monkeypatch.setattr(os, "fork", now_and_then)
    assert rehearse(lambda: None, seconds=5)


def test_threads_take_their_limits_of_memory_one_after_the_other() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    inside = threading.Barrier(2)

    def limit() -> None:
        inside.wait(10)
        for _ in range(300):
            with limited_memory():
                time.sleep(0)

    threads = [threading.Thread(target=limit) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_this_process_is_limited_only_where_the_child_has_failed() -> None:
    free = resource.getrlimit(resource.RLIMIT_DATA)
    with as_rehearsed(rehearse(lambda: None, seconds=5)):
        assert resource.getrlimit(resource.RLIMIT_DATA) == free
    with as_rehearsed(rehearse(lambda: 1 / 0, seconds=5)):
        assert resource.getrlimit(resource.RLIMIT_DATA) != free
    assert resource.getrlimit(resource.RLIMIT_DATA) == free


def test_native_code_that_hangs_is_ended() -> None:
    began = time.monotonic()
    libc = ctypes.PyDLL(None)
    with pytest.raises(FerEdgeError, match="it did not end within 1 s"):
        # holding the interpreter's lock, so that no Python code could end it
        rehearse(lambda: libc.sleep(60), seconds=1)
    assert time.monotonic() - began < 30


def test_memory_is_limited_while_a_model_is_tried_and_not_afterwards() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with limited_memory(64 << 20):
        assert len(bytearray(32 << 20)) == 32 << 20
        with pytest.raises(MemoryError):
            bytearray(128 << 20)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    bytearray(128 << 20)


def test_a_child_that_takes_all_memory_is_ended_by_its_limit() -> None:
    def fill() -> None:
        kept = []
        try:
            while True:
                kept.append(bytearray(64 << 20))
        except MemoryError:
            os.kill(os.getpid(), signal.SIGUSR1)

    with pytest.raises(FerEdgeError, match="SIGUSR1"):
        rehearse(fill, seconds=60)


def test_the_child_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    rehearse(lambda: os.write(2, b"noise") + os.write(1, b"noise"), seconds=5)
    assert capfd.readouterr() == ("", "")
