"""Inference that is stopped and started while the run goes on."""

from __future__ import annotations

import threading

from made import result

from fer_edge.device.control import Control


def _frames(count: int):
    return (result(index).frame for index in range(count))


def test_a_cameras_frames_are_let_go_and_counted_while_inference_is_stopped():
    control = Control()
    taken = []
    for frame in control.gate(_frames(10), live=True, stopped=lambda: False):
        taken.append(frame.index)
        if frame.index == 3:
            control.stop()
    assert taken == [0, 1, 2, 3]
    assert control.let_go == 6


def test_a_recording_waits_until_inference_is_started_again():
    control = Control()
    control.stop()
    threading.Timer(0.05, control.start).start()
    taken = [f.index for f in control.gate(_frames(3), live=False, stopped=lambda: False)]
    assert taken == [0, 1, 2]
    assert control.let_go == 0


def test_a_stopped_run_can_be_ended():
    for live in (True, False):
        control = Control()
        control.stop()
        assert list(control.gate(_frames(3), live=live, stopped=lambda: True)) == []
