"""Running the command line's own commands, several at a time, here or on a Ray cluster."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from fer_edge.errors import FerEdgeError, require_extra
from fer_edge.signals import PARENT

INTERRUPTED = 130
_POLL_SECONDS = 2.0
_PATIENCE_SECONDS = 30.0
"""Given to a training to measure what it has; one that was starting up may not have heard."""


@dataclass(frozen=True)
class Task:
    """One call of ``fer-edge``.

    Attributes:
        name: for messages.
        arguments: behind ``fer-edge``; paths are absolute.
        output: receives standard output; None discards it.
        log: receives standard error.
    """

    name: str
    arguments: tuple[str, ...]
    log: Path
    output: Path | None = None


Ended = Generator[tuple[Task, int], None, None]
"""Tasks and their exit codes, as they end; whoever closes it early ends those that run."""


class Executor(Protocol):
    """Runs tasks and hands back each with its exit code as it ends."""

    def run(self, tasks: Sequence[Task], tick: Callable[[], None]) -> Ended:
        """Run all; ``tick`` is called every few seconds meanwhile."""
        ...


class LocalExecutor:
    """Processes of this machine, ``jobs`` at a time, which share its cores evenly.

    Where ``CUDA_VISIBLE_DEVICES`` names several GPUs, each job has one of them, in turn.
    """

    def __init__(self, jobs: int = 1) -> None:
        if jobs < 1:
            raise FerEdgeError(f"--jobs is {jobs}", "give 1 or more")
        self.jobs = jobs
        self.threads = max(1, len(os.sched_getaffinity(0)) // jobs)
        self._stopping = threading.Event()
        gpus = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        self._gpus: queue.SimpleQueue[str] = queue.SimpleQueue()
        for job in range(jobs if len(gpus) > 1 else 0):
            self._gpus.put(gpus[job % len(gpus)])

    def run(self, tasks: Sequence[Task], tick: Callable[[], None]) -> Ended:
        """Run all; when interrupted, each running task is interrupted too and waited for."""
        pool = ThreadPoolExecutor(self.jobs)
        waiting = {pool.submit(self._one, task): task for task in tasks}
        try:
            yield from _as_completed(waiting, tick)
        except BaseException:
            self._stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            pool.shutdown(wait=True)

    def _one(self, task: Task) -> int:
        gpu = None if self._gpus.empty() else self._gpus.get()
        process = _start(task, self.threads, {"CUDA_VISIBLE_DEVICES": gpu} if gpu else {})
        try:
            while not self._stopping.wait(0.1):
                if (code := process.poll()) is not None:
                    return code
            return _interrupted(process)
        finally:
            if gpu:
                self._gpus.put(gpu)


class RayExecutor:
    """Workers of a Ray cluster; all of them see the same files under the same paths.

    The cluster is the one that ``RAY_ADDRESS`` names, else one that runs on this machine.
    """

    def __init__(self, jobs: int = 1) -> None:
        require_extra("ray", "ray")
        self.jobs = jobs

    def run(self, tasks: Sequence[Task], tick: Callable[[], None]) -> Ended:
        """Run all, ``jobs`` at a time on each node, or on each GPU where every node has one."""
        import ray

        address = os.environ.get("RAY_ADDRESS", "auto")
        try:
            _knock(address)
            ray.init(address, log_to_driver=False)
        except OSError as error:
            raise FerEdgeError(
                f"no Ray cluster to be reached: {str(error).splitlines()[0]}",
                "start one with 'ray start --head', or name it in RAY_ADDRESS",
            ) from error
        try:
            nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            threads = max(1, int(min(node.get("CPU", 1) for node in nodes)) // self.jobs)
            gpus = 1 / self.jobs if all(node.get("GPU") for node in nodes) else 0
            remote = ray.remote(num_cpus=threads, num_gpus=gpus, max_retries=0)(run_task)
            waiting = {remote.remote(task, threads): task for task in tasks}
            while waiting:
                ready, _ = ray.wait(list(waiting), timeout=_POLL_SECONDS)
                tick()
                for reference in ready:
                    yield waiting.pop(reference), ray.get(reference)
        finally:
            ray.shutdown()


def _knock(address: str) -> None:
    """OSError unless somebody answers at ``host:port``; Ray itself would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=5).close()


def run_task(task: Task, threads: int) -> int:
    """Run one task to its end; its exit code."""
    return _start(task, threads).wait()


def _start(
    task: Task, threads: int, environment: Mapping[str, str] = MappingProxyType({})
) -> subprocess.Popen[bytes]:
    task.log.parent.mkdir(parents=True, exist_ok=True)
    number = str(threads)
    with task.log.open("ab") as log, (task.output or Path(os.devnull)).open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "fer_edge", *task.arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=log,
            # a terminal's Ctrl-C goes to us, and we pass it on once; should we be killed, PARENT
            # has it end as well
            start_new_session=True,
            env=os.environ
            | {
                "OMP_NUM_THREADS": number,
                "TF_NUM_INTRAOP_THREADS": number,
                "TF_NUM_INTEROP_THREADS": "1",
                PARENT: str(os.getpid()),
                **environment,
            },
        )


def _interrupted(process: subprocess.Popen[bytes]) -> int:
    """Ask a process to end, again if it seems not to have heard; its exit code.

    SIGTERM does to ``fer-edge`` what Ctrl-C does, and is not ignored where SIGINT is, as in what a
    shell started in the background.
    """
    while True:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(_PATIENCE_SECONDS)


def _as_completed(
    waiting: dict[Future[int], Task], tick: Callable[[], None]
) -> Iterator[tuple[Task, int]]:
    while waiting:
        done, _ = wait(waiting, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
        tick()
        for future in done:
            yield waiting.pop(future), future.result()
