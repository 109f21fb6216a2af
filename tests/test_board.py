"""What a machine tells about itself, and what is made of silence."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from fer_edge.board import Health, peak_memory_mib, read_board, read_health
from fer_edge.device import doctor
from fer_edge.device.doctor import examine


@pytest.fixture
def pi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a Raspberry Pi 5, and its vcgencmd."""
    files = {
        "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
        "proc/meminfo": "MemTotal:        8256000 kB\nMemFree: 1 kB\n",
        "proc/cpuinfo": "processor : 0\nBogoMIPS : 108.00\n",
        "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\n',
        "sys/class/thermal/thermal_zone0/temp": "81250\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
        "dev/video0": "",
    }
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    _vcgencmd(tmp_path, monkeypatch, "echo throttled=0x50005")
    return tmp_path


def _vcgencmd(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    command = folder / "bin/vcgencmd"
    command.parent.mkdir(exist_ok=True)
    command.write_text(f"#!/bin/sh\n{body}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:/usr/bin:/bin")


def test_a_pi_is_named_with_its_system_and_memory(pi):
    board = read_board(pi)
    assert board.model == "Raspberry Pi 5 Model B Rev 1.0"
    assert board.system == "Debian GNU/Linux 13 (trixie)"
    assert board.memory_mib == 8062
    assert str(board).startswith("Raspberry Pi 5 Model B Rev 1.0, ")


def test_heat_governor_and_throttling_are_read_and_spelled_out(pi):
    health = read_health(pi)
    assert health.temperature_c == 81.25
    assert health.governor == "ondemand"
    assert health.throttle_reasons == ("under-voltage now", "throttled now")
    assert Health(None, None, 0x40000).throttle_reasons == ("throttled since boot",)


@pytest.mark.parametrize("body", ["exit 1", "echo nonsense", "echo throttled="])
def test_a_vcgencmd_that_does_not_answer_is_silence_not_an_error(pi, monkeypatch, body):
    _vcgencmd(pi, monkeypatch, body)
    assert read_health(pi).throttled is None


def test_everything_may_be_absent(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    board, health = read_board(tmp_path), read_health(tmp_path)
    assert (board.model, board.cpu, board.memory_mib) == (None, None, None)
    assert health == Health(None, None, None)
    assert health.throttle_reasons == ()
    assert str(board)
    assert peak_memory_mib(tmp_path) is None


def test_peak_memory_of_this_process_is_plausible():
    assert 10 < peak_memory_mib() < 100_000


def test_doctor_says_what_a_hot_throttled_pi_needs(pi):
    findings = {finding.topic: finding for finding in examine(pi).findings}
    assert findings["temperature"].state == "warning"
    assert "under-voltage" in findings["throttling"].detail
    assert "power supply" in findings["throttling"].remedy
    assert "| sudo tee /sys/devices/system/cpu/cpufreq/policy" in findings["governor"].remedy
    if find_spec("picamera2") is None:
        assert findings["Pi camera"].state == "missing"
        assert "apt install python3-picamera2" in findings["Pi camera"].remedy


def test_doctor_finds_nothing_to_repair_where_nothing_is_wrong(pi, monkeypatch):
    (pi / "sys/class/thermal/thermal_zone0/temp").write_text("48000")
    _vcgencmd(pi, monkeypatch, "echo throttled=0x0")
    monkeypatch.setattr(doctor, "find_usb_cameras", lambda root: {"/dev/video0": "Webcam"})
    topics = {finding.topic: finding.state for finding in examine(pi).findings}
    assert topics["temperature"] == "ok"
    assert "throttling" not in topics
    assert topics["OpenCV"] == topics["model runtime"] == topics["USB cameras"] == "ok"
