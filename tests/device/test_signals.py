"""The first signal is noted; one that comes again, later, is obeyed at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from fer_edge.device import signals
from fer_edge.device.signals import StopRequest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_noted_and_what_was_there_before_comes_back(number):
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert stop.signal is None
        signal.raise_signal(number)
        signal.raise_signal(number)
        assert stop.signal == number
    assert signal.getsignal(number) is before


@pytest.fixture
def hang_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process keeps its terminal, and what SIGHUP does to it is undone."""
    before = signal.getsignal(signal.SIGHUP)
    monkeypatch.setattr(
        signals, "leave_terminal", lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
    )
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hang_up")
def test_a_terminal_that_hangs_up_is_noted_and_hangs_up_once():
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGHUP)
        assert (stop.signal, stop.interrupted) == (signal.SIGHUP, True)
    signal.raise_signal(signal.SIGHUP)


@pytest.mark.usefixtures("hang_up")
def test_what_nohup_started_does_not_notice_that_the_terminal_hangs_up():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGHUP)
        assert stop.signal is None
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_ctrl_c_again_later_interrupts_even_what_hangs(monkeypatch):
    monkeypatch.setattr(signals, "_SAME_WISH", -1.0)
    # a test run in the background of a shell inherits Ctrl-C ignored
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with StopRequest() as stop:
            signal.raise_signal(signal.SIGINT)
            assert stop.signal == signal.SIGINT
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, inherited)
