"""What C++ libraries print is silenced, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from fer_edge.chatter import captured_stderr, silenced_stderr


def test_what_native_code_prints_is_silenced_and_what_follows_is_not(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with silenced_stderr():
        os.write(2, b"chatter\n")
    os.write(2, b"said\n")
    assert capfd.readouterr().err == "said\n"


def test_standard_error_is_back_when_silences_of_threads_overlap(
    capfd: pytest.CaptureFixture[str],
) -> None:
    first_in, second_in = threading.Event(), threading.Event()

    def first() -> None:
        with silenced_stderr():
            first_in.set()
            assert second_in.wait(10)

    thread = threading.Thread(target=first)
    thread.start()
    assert first_in.wait(10)
    with silenced_stderr():
        second_in.set()
        thread.join(10)
        os.write(2, b"chatter\n")
    os.write(2, b"said\n")
    assert capfd.readouterr().err == "said\n"
    assert not thread.is_alive()


@pytest.mark.parametrize("stderr", ["None", "io.StringIO()"])
@pytest.mark.parametrize("silence", [silenced_stderr, captured_stderr])
def test_an_application_without_standard_error_is_left_as_it_was(
    silence: Callable[[], AbstractContextManager[object]], stderr: str
) -> None:
    code = f"""
import io, os, sys
from fer_edge.chatter import {silence.__name__} as silence
sys.stderr = {stderr}
with silence():
    os.write(2, b"chatter")
try:
    os.fstat(2)
except OSError:
    print("closed as before")
"""
    closed = ["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-c", code]
    done = subprocess.run(closed, stdout=subprocess.PIPE, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (0, "closed as before\n")
