"""What C++ libraries print is silenced, and nothing else is."""

from __future__ import annotations

import os
import threading

import pytest

from fer_edge.chatter import silenced_stderr


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
