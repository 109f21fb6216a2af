"""The first signal is noted; one that comes again, later, is obeyed at once."""

from __future__ import annotations

import signal

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
