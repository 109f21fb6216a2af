"""Files and a ``vcgencmd`` as Raspberry Pis have them, laid out in a folder: no board was used."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

PMIC = """\
 3V7_WL_SW_A current(0)=0.09466522A
   3V3_SYS_A current(1)=0.10000000A
  VDD_CORE_A current(7)=1.50000000A
 3V7_WL_SW_V volt(8)=3.70000000V
   3V3_SYS_V volt(9)=3.30000000V
  VDD_CORE_V volt(15)=0.80000000V
     EXT5V_V volt(24)=5.08530000V
      BATT_V volt(25)=0.00000000V
"""
PMIC_WATTS = 0.09466522 * 3.7 + 0.1 * 3.3 + 1.5 * 0.8


@dataclass
class LaidOut:
    """A root folder like a board's; ``vcgencmd`` is a shell script that reads ``answers``."""

    root: Path

    def write(self, name: str, content: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def firmware(self, **answers: str) -> None:
        """Answer these questions, such as ``get_throttled="throttled=0x0"``; refuse others."""
        for question, answer in answers.items():
            self.write(f"answers/{question}", answer + "\n")
        self.write("bin/vcgencmd", f'#!/bin/sh\nexec cat "{self.root}/answers/$1"\n')
        (self.root / "bin/vcgencmd").chmod(0o755)

    def throttled(self, bits: int) -> None:
        self.firmware(get_throttled=f"throttled={bits:#x}")

    def clock(self, *, asked: int, allowed: int, possible: int, governor: str) -> None:
        policy = "sys/devices/system/cpu/cpufreq/policy0"
        self.write(f"{policy}/related_cpus", "0 1 2 3\n")
        self.write(f"{policy}/scaling_governor", governor + "\n")
        for name, mhz in (
            ("scaling_cur_freq", asked),
            ("scaling_max_freq", allowed),
            ("cpuinfo_max_freq", possible),
        ):
            self.write(f"{policy}/{name}", f"{mhz * 1000}\n")
        self.write("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", governor + "\n")

    def _common(self, model: str, part: str, memory_kb: int) -> None:
        self.write("proc/device-tree/model", model + "\0")
        self.write("proc/meminfo", f"MemTotal:  {memory_kb} kB\n")
        self.write("proc/cpuinfo", 4 * f"CPU implementer\t: 0x41\nCPU part\t: {part}\n\n")
        self.write("proc/self/status", "Name:\tpython\nVmHWM:\t   81920 kB\n")
        self.write("proc/loadavg", "0.08 0.03 0.01 1/150 4711\n")
        self.write("etc/os-release", 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n')
        self.write("sys/class/thermal/thermal_zone0/temp", "48312\n")


def _zero_2_w(board: LaidOut) -> None:
    """Whose user may not ask the firmware: the kernel's own file is all there is."""
    board._common("Raspberry Pi Zero 2 W Rev 1.0", "0xd03", 437000)
    board.clock(asked=1000, allowed=1000, possible=1000, governor="ondemand")
    board.write("sys/devices/platform/soc/soc:firmware/get_throttled", "0\n")


def _pi_4(board: LaidOut) -> None:
    board._common("Raspberry Pi 4 Model B Rev 1.4", "0xd08", 3885000)
    board.clock(asked=1800, allowed=1800, possible=1800, governor="performance")
    board.firmware(get_throttled="throttled=0x0", measure_clock="frequency(48)=1800404352")


def _pi_5(board: LaidOut) -> None:
    board._common("Raspberry Pi 5 Model B Rev 1.0", "0xd0b", 8256000)
    board.clock(asked=2400, allowed=2400, possible=2400, governor="performance")
    board.firmware(
        get_throttled="throttled=0x0",
        measure_clock="frequency(0)=2400033792",
        pmic_read_adc=PMIC.rstrip(),
    )


def _pc(board: LaidOut) -> None:
    """Where everything is absent."""


BOARDS: dict[str, Callable[[LaidOut], None]] = {
    "zero 2 w": _zero_2_w,
    "pi 4": _pi_4,
    "pi 5": _pi_5,
    "pc": _pc,
}


def lay_out(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> LaidOut:
    """Lay out a board and make its vcgencmd the one that is found."""
    root = folder / name.replace(" ", "-")
    root.mkdir()
    board = LaidOut(root)
    BOARDS[name](board)
    monkeypatch.setenv("PATH", f"{root / 'bin'}:/usr/bin:/bin")
    return board


def video_nodes(root: Path, monkeypatch: pytest.MonkeyPatch, **nodes: tuple[str, str, int]) -> None:
    """Lay out video nodes that answer VIDIOC_QUERYCAP with a driver, a card and capabilities."""
    (root / "dev").mkdir(exist_ok=True)
    for name in nodes:
        (root / "dev" / name).touch()

    def answer(descriptor: int, request: int, into: bytearray) -> None:
        assert request == 0x80685600
        driver, card, capabilities = nodes[Path(f"/proc/self/fd/{descriptor}").readlink().name]
        struct.pack_into("=16s32s40xI", into, 0, driver.encode(), card.encode(), capabilities)

    monkeypatch.setattr("fcntl.ioctl", answer)


PI_NODES = {
    "video0": ("unicam", "unicam", 0x1),
    "video10": ("bcm2835-codec", "bcm2835-codec-decode", 0x4000),
    "video13": ("bcm2835-isp", "bcm2835-isp", 0x2),
    "video14": ("bcm2835-isp", "bcm2835-isp", 0x1),
    "video20": ("pispbe", "pispbe", 0x1000),
    "video31": ("bcm2835-codec", "bcm2835-codec-image_fx", 0x4000),
}
"""Video nodes of a Raspberry Pi without a USB camera: driver, card, capabilities."""
USB_NODES = {
    "video8": ("uvcvideo", "HD Webcam C920", 0x1),
    "video9": ("uvcvideo", "HD Webcam C920", 0x800000),
}
"""A USB camera's: its pictures, and their metadata."""
