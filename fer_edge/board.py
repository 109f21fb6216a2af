"""What this machine is: board, system, processor, temperature, throttling."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_THROTTLE_BITS = {
    0: "under-voltage",
    1: "frequency capped",
    2: "throttled",
    3: "soft temperature limit",
}
"""Of ``vcgencmd get_throttled``: as they are now; 16 higher, whether they were since boot."""


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


def read_board(root: Path = Path("/")) -> Board:
    """Describe the machine from the files under ``root``; whatever is absent becomes None."""
    system = _entry(root / "etc/os-release", "PRETTY_NAME", "=")
    total = _entry(root / "proc/meminfo", "MemTotal", ":")
    return Board(
        model=_text(root / "proc/device-tree/model"),
        system=system.strip('"') if system else platform.system(),
        kernel=platform.release(),
        architecture=platform.machine(),
        cpu=_entry(root / "proc/cpuinfo", "model name", ":"),
        cores=len(os.sched_getaffinity(0)),
        memory_mib=int(total.split()[0]) // 1024 if total else None,
    )


def read_health(root: Path = Path("/")) -> Health:
    """Read temperature, governor and throttle bits; whatever is absent becomes None."""
    millidegrees = _number(_text(root / "sys/class/thermal/thermal_zone0/temp"))
    return Health(
        temperature_c=None if millidegrees is None else millidegrees / 1000,
        governor=_text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        throttled=_throttle_bits(),
    )


def peak_memory_mib(root: Path = Path("/")) -> float | None:
    """Most memory that this process ever held (VmHWM), in MiB."""
    peak = _entry(root / "proc/self/status", "VmHWM", ":")
    return int(peak.split()[0]) / 1024 if peak else None


def _throttle_bits() -> int | None:
    command = shutil.which("vcgencmd")
    if command is None:
        return None
    try:
        answer = subprocess.run(
            [command, "get_throttled"], capture_output=True, text=True, timeout=2, check=True
        ).stdout
        return int(answer.strip().removeprefix("throttled="), 16)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


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
