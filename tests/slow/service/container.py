"""A Debian that boots with a real systemd, for as long as a test lasts; nothing of it stays.

The shared rootfs lies below, unchanged; what is written goes to memory. The network is this
machine's own, so that a server in the test is a camera in there.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

BOOT = ("systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--console=pipe")
PATIENCE = 60.0


class Container:
    """A running system; ``root`` is its file system, as seen from here."""

    def __init__(self, root: Path, pid: int) -> None:
        """``pid``: of its first process."""
        self.root = root
        self._enter = ("nsenter", "-t", str(pid), "-m", "-u", "-i", "-p", "-r", "-w", "--")

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside."""
        return subprocess.run(
            [*self._enter, *words], capture_output=True, text=True, timeout=PATIENCE
        )

    def show(self, name: str, unit: str = "fer-edge") -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", unit, "--value", "-p", name).stdout.strip()

    def journal(self) -> str:
        """What the service and systemd said of it since boot."""
        return self.run("journalctl", "-b", "--no-pager", "-o", "cat", "-u", "fer-edge").stdout

    def wait_until(self, name: str, wanted: str, patience: float = PATIENCE) -> str:
        """Wait until a property of the service holds a text; returns the property."""
        deadline = time.monotonic() + patience
        while wanted not in (found := self.show(name)):
            if time.monotonic() > deadline:
                raise AssertionError(f"{name} is {found!r}, not {wanted!r}:\n{self.journal()}")
            time.sleep(0.2)
        return found


@contextmanager
def layered(rootfs: Path, place: Path) -> Iterator[Path]:
    """The rootfs with a layer of memory above it, at ``place``/root."""
    root, memory = place / "root", place / "memory"
    for folder in (root, memory):
        folder.mkdir(parents=True)
    with ExitStack() as stack:
        _mount(stack, memory, "-t", "tmpfs", "-o", "size=1g", "none")
        layers = [f"lowerdir={rootfs}"]
        for name in ("upper", "work"):
            (memory / name).mkdir()
            layers.append(f"{name}dir={memory / name}")
        _mount(stack, root, "-t", "overlay", "-o", ",".join(layers), "overlay")
        yield root


@contextmanager
def booted(root: Path) -> Iterator[Container]:
    """Boot the system in a folder, and shut it down in the end."""
    log = root.parent / "console.log"
    command = [*BOOT, f"--directory={root}"]
    with log.open("w") as console, subprocess.Popen(command, stdout=console, stderr=console) as it:
        try:
            container = Container(root, _first_process(it, log))
            deadline = time.monotonic() + PATIENCE
            while (state := _state(container)) not in ("running", "degraded"):
                if time.monotonic() > deadline:
                    raise AssertionError(f"it does not boot ({state}): {log.read_text()}")
                time.sleep(0.2)
            yield container
        finally:
            it.send_signal(signal.SIGTERM)  # asks the system to power off
            try:
                it.wait(30)
            except subprocess.TimeoutExpired:
                it.kill()


def _state(container: Container) -> str:
    # a service without its camera never becomes active, and is not waited for
    found = container.run("systemctl", "is-system-running").stdout.strip()
    return "running" if found == "starting" and container.show("Id", "basic.target") else found


def _first_process(nspawn: subprocess.Popen[bytes], log: Path) -> int:
    children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children")
    deadline = time.monotonic() + PATIENCE
    while nspawn.poll() is None and time.monotonic() < deadline:
        for child in children.read_text().split():
            # before the stub has become the container's systemd there is nothing to enter
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return int(child)
        time.sleep(0.1)
    raise AssertionError(f"it does not boot: {log.read_text()}")


def _mount(stack: ExitStack, where: Path, *words: str) -> None:
    subprocess.run(["mount", *words, str(where)], check=True)
    stack.callback(subprocess.run, ["umount", "--lazy", str(where)], check=True)
