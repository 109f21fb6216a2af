"""What ends a command as Ctrl-C does."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fer_edge.signals import PARENT

LISTEN = """
import os, signal, sys, time
from fer_edge.signals import end_as_by_ctrl_c
"""
FINISH = """
end_as_by_ctrl_c()
try:
    print("ready", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("ending", flush=True)
    time.sleep(0.5)
    with open("finished", "w"):
        pass
"""


def python(script: str, folder: Path, **options: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", LISTEN + script]
    return subprocess.Popen(command, cwd=folder, **options)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_order_to_end_lets_a_command_finish(number: int, tmp_path: Path) -> None:
    process = python(FINISH, tmp_path, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    assert process.stdout.readline() == b"ending\n"
    if number == signal.SIGHUP:
        process.send_signal(number)  # the shell and the kernel may both say so
    assert process.wait(20) == 0
    assert (tmp_path / "finished").exists()


def test_a_terminal_that_is_gone_does_not_keep_a_command_from_finishing(tmp_path: Path) -> None:
    mine, its = pty.openpty()
    own = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)"
    process = python(
        own + FINISH, tmp_path, stdin=its, stdout=its, stderr=its, start_new_session=True
    )
    os.close(its)
    assert os.read(mine, 5) == b"ready"
    os.close(mine)
    assert process.wait(20) == 0
    assert (tmp_path / "finished").exists()


def test_what_nohup_started_goes_on_when_the_terminal_is_gone(tmp_path: Path) -> None:
    script = """
signal.signal(signal.SIGHUP, signal.SIG_IGN)
end_as_by_ctrl_c()
os.kill(os.getpid(), signal.SIGHUP)
"""
    assert python(script, tmp_path).wait(20) == 0


def test_a_process_ends_when_the_one_that_started_it_was_killed(tmp_path: Path) -> None:
    (tmp_path / "child.py").write_text(LISTEN + FINISH)
    script = f"""
import subprocess
child = [sys.executable, "child.py"]
subprocess.Popen(child, env=os.environ | {{"{PARENT}": str(os.getpid())}})
time.sleep(60)
"""
    parent = python(script, tmp_path, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"ready\n"
    parent.kill()
    # the pipe ends when nobody holds it any more
    assert parent.stdout.read() == b"ending\n"
    assert (tmp_path / "finished").exists()
