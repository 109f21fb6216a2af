"""What this machine is: board, system, processor, clocks, temperature, throttling."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FULL_CLOCK = "echo performance | sudo tee /sys/devices/system/cpu/cpufreq/policy*/scaling_governor"
"""The command after which the cores keep their highest clock, until the next boot."""

_THROTTLE_BITS = {
    0: "under-voltage",
    1: "frequency capped",
    2: "throttled",
    3: "soft temperature limit",
}
"""Of ``vcgencmd get_throttled``: as they are now; 16 higher, whether they were since boot."""

_ARM_CORES = {
    "0xd03": "Cortex-A53",
    "0xd04": "Cortex-A35",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73",
    "0xd0a": "Cortex-A75",
    "0xd0b": "Cortex-A76",
    "0xd41": "Cortex-A78",
}
"""Part numbers of Arm's own cores, which a 64-bit kernel gives instead of a name."""


@dataclass(frozen=True)
class Board:
    """What stays the same while a program runs; None where the machine does not tell."""

    model: str | None
    """Such as "Raspberry Pi 5 Model B Rev 1.0"; None on a PC."""
    system: str
    kernel: str
    architecture: str
    cpu: str | None
    cores: int
    """Cores that this process may use."""
    memory_mib: int | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        name = self.model or self.cpu or self.architecture
        return f"{name}, {self.cores} cores, {self.system}"


@dataclass(frozen=True)
class Health:
    """What changes while a program runs; None where the machine does not tell."""

    temperature_c: float | None
    governor: str | None
    """The frequency governor of core 0; anything but "performance" adds latency."""
    throttled: int | None
    """The bits of ``vcgencmd get_throttled``."""

    @property
    def throttle_reasons(self) -> tuple[str, ...]:
        """Why the board is held back now, or was since boot."""
        bits = self.throttled or 0
        now = [f"{reason} now" for bit, reason in _THROTTLE_BITS.items() if bits >> bit & 1]
        past = [
            f"{reason} since boot"
            for bit, reason in _THROTTLE_BITS.items()
            if bits >> (bit + 16) & 1 and not bits >> bit & 1
        ]
        return (*now, *past)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self) | {"throttle_reasons": list(self.throttle_reasons)}


@dataclass(frozen=True)
class Clock:
    """What cpufreq says of cores that share a clock; None where the machine does not tell."""

    cores: str
    """Their numbers, such as "0 1 2 3"."""
    governor: str | None
    asked_mhz: float | None
    """What the kernel asked for; a Raspberry Pi's firmware may run slower and not say so here."""
    allowed_mhz: float | None
    """Most that the governor may ask for."""
    possible_mhz: float | None
    """Most that the cores can do."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def read_board(root: Path = Path("/")) -> Board:
    """Describe the machine from the files under ``root``; whatever is absent becomes None."""
    system = _entry(root / "etc/os-release", "PRETTY_NAME", "=")
    total = _entry(root / "proc/meminfo", "MemTotal", ":")
    return Board(
        model=_text(root / "proc/device-tree/model"),
        system=system.strip('"') if system else platform.system(),
        kernel=platform.release(),
        architecture=platform.machine(),
        cpu=_processor(root / "proc/cpuinfo"),
        cores=len(os.sched_getaffinity(0)),
        memory_mib=int(total.split()[0]) // 1024 if total else None,
    )


def read_health(root: Path = Path("/")) -> Health:
    """Read temperature, governor and throttle bits; whatever is absent becomes None."""
    millidegrees = _number(_text(root / "sys/class/thermal/thermal_zone0/temp"))
    return Health(
        temperature_c=None if millidegrees is None else millidegrees / 1000,
        governor=_text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        throttled=_throttle_bits(root),
    )


def read_clocks(root: Path = Path("/")) -> tuple[Clock, ...]:
    """Read the clocks of all cores; empty where the machine does not tell."""
    policies = (root / "sys/devices/system/cpu/cpufreq").glob("policy*")
    return tuple(_clock(policy) for policy in sorted(policies))


def measured_mhz() -> float | None:
    """The clock of a Raspberry Pi's cores as its firmware measures it, throttling included."""
    answer = ask_firmware("measure_clock", "arm") or ""
    hertz = _number(answer.partition("=")[2])
    return hertz / 1e6 if hertz else None


def read_load(root: Path = Path("/")) -> float | None:
    """Processes that ran or waited for a core, on average over the last minute."""
    words = (_text(root / "proc/loadavg") or "").split()
    try:
        return float(words[0])
    except (IndexError, ValueError):
        return None


def ask_firmware(*question: str) -> str | None:
    """What a Raspberry Pi's ``vcgencmd`` answers; None elsewhere, or where it does not."""
    command = shutil.which("vcgencmd")
    if command is None:
        return None
    try:
        return subprocess.run(
            [command, *question], capture_output=True, text=True, timeout=2, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def peak_memory_mib(root: Path = Path("/")) -> float | None:
    """Most memory that this process ever held (VmHWM), in MiB."""
    peak = _entry(root / "proc/self/status", "VmHWM", ":")
    return int(peak.split()[0]) / 1024 if peak else None


def _throttle_bits(root: Path) -> int | None:
    answer = ask_firmware("get_throttled") or ""
    try:
        return int(answer.removeprefix("throttled="), 16)
    except ValueError:
        pass
    # Second choice, for who may not ask the firmware: the kernel calls this file deprecated, and
    # clears the upper bits every two seconds, so that they too tell of now.
    for path in (root / "sys/devices/platform").glob("*/*firmware/get_throttled"):
        try:
            bits = int(_text(path) or "", 16)
        except ValueError:
            continue
        return (bits | bits >> 16) & 0xF
    return None


def _clock(policy: Path) -> Clock:
    asked, allowed, possible = (
        _number(_text(policy / name))
        for name in ("scaling_cur_freq", "scaling_max_freq", "cpuinfo_max_freq")
    )
    return Clock(
        cores=_text(policy / "related_cpus") or policy.name.removeprefix("policy"),
        governor=_text(policy / "scaling_governor"),
        asked_mhz=None if asked is None else asked / 1000,
        allowed_mhz=None if allowed is None else allowed / 1000,
        possible_mhz=None if possible is None else possible / 1000,
    )


def _processor(cpuinfo: Path) -> str | None:
    """Its name or, on Arm, those of its cores, such as "Cortex-A76"."""
    if name := _entry(cpuinfo, "model name", ":"):
        return name
    parts = dict.fromkeys(
        value.strip()
        for line in (_text(cpuinfo) or "").splitlines()
        for key, _, value in [line.partition(":")]
        if key.strip() == "CPU part"
    )
    if not parts:
        return None
    return " + ".join(_ARM_CORES.get(part, f"Arm part {part}") for part in parts)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip("\0 \n") or None
    except OSError:
        return None


def _entry(path: Path, key: str, separator: str) -> str | None:
    for line in (_text(path) or "").splitlines():
        name, found, value = line.partition(separator)
        if found and name.strip() == key:
            return value.strip() or None
    return None


def _number(text: str | None) -> int | None:
    try:
        return int(text or "")
    except ValueError:
        return None
