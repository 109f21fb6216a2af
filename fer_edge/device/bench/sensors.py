"""The machine's sensors before, during and after a measurement; whether it was held back."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer_edge.board import Clock, Health, measured_mhz, read_clocks, read_health, read_load
from fer_edge.device.opened import Opened
from fer_edge.power import Power, read_power

EVERY = 2.0
"""Seconds from one look to the next while queries are measured."""
_FIRST = 0.3  # seconds: a quick measurement lasts little longer
_IDLE_LOOKS = 5
_SLOW = 0.97  # of the clock that the kernel asked for; a measured one is never exact


@dataclass(frozen=True)
class Look:
    """What the sensors said at one moment; None where the machine does not tell."""

    health: Health
    clocks: tuple[Clock, ...]
    measured_mhz: float | None
    """The cores' clock as a Raspberry Pi's firmware measures it."""
    power: Power | None
    load: float | None = None
    """Processes that ran or waited for a core, on average over the last minute."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            **self.health.to_dict(),
            "load": self.load,
            "clocks": [clock.to_dict() for clock in self.clocks] or None,
            "measured_mhz": self.measured_mhz,
            "watts": None if self.power is None else round(self.power.watts, 3),
            "rails_watts": None
            if self.power is None
            else {name: round(watts, 4) for name, watts in self.power.rails_watts.items()},
            "input_volts": None if self.power is None else self.power.input_volts,
        }


class Sensors:
    """Reads them; what this machine does not have is asked for only once."""

    def __init__(self, root: Path = Path("/")) -> None:
        """``root`` is where /proc and /sys are looked for."""
        self._root = root
        self._has_power = read_power() is not None
        self._has_firmware = measured_mhz() is not None

    def look(self) -> Look:
        """Read all of them now."""
        return Look(
            read_health(self._root),
            read_clocks(self._root),
            measured_mhz() if self._has_firmware else None,
            read_power() if self._has_power else None,
            read_load(self._root),
        )

    def idle_watts(self) -> float | None:
        """What the machine draws while this program waits; None where it cannot tell."""
        if not self._has_power:
            return None
        found = []
        for _ in range(_IDLE_LOOKS):
            time.sleep(_FIRST)
            found.append(read_power())
        watts = [power.watts for power in found if power is not None]
        return sum(watts) / len(watts) if watts else None


class Watch(Opened):
    """A context manager that looks at the sensors now and then, once at least, from a thread."""

    def __init__(self, sensors: Sensors) -> None:
        self.looks: list[Look] = []
        self._sensors = sensors
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="sensors", daemon=True)

    def open(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """End, after one look at least."""
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        wait = _FIRST
        while not self._end.wait(wait):
            self.looks.append(self._sensors.look())
            wait = EVERY
        if not self.looks:
            self.looks.append(self._sensors.look())


def summed_up(looks: Sequence[Look]) -> dict[str, Any]:
    """What the looks during one measurement amount to, for JSON."""
    heat = [look.health.temperature_c for look in looks if look.health.temperature_c is not None]
    clocks = [look.measured_mhz for look in looks if look.measured_mhz is not None]
    watts = [look.power.watts for look in looks if look.power is not None]
    return {
        "looks": len(looks),
        "temperature_c_max": max(heat, default=None),
        "measured_mhz_min": min(clocks, default=None),
        "watts_mean": round(sum(watts) / len(watts), 3) if watts else None,
    }


def held_back(before: Look, during: Sequence[Look], after: Look) -> tuple[bool | None, list[str]]:
    """Whether the machine ran slower than it can, and why; None when it does not tell."""
    looks = (before, *during, after)
    reasons = dict.fromkeys(_firmware_reasons(before, during, after))
    for look in looks:
        reasons |= dict.fromkeys(_limits(look))
    slow = [look for look in during if _is_slow(look)]
    if slow:
        least = min(slow, key=lambda look: look.measured_mhz or 0)
        reasons[
            f"the cores ran at {least.measured_mhz:.0f} MHz when {_asked(least):.0f} were asked for"
        ] = None
    told = any(look.health.throttled is not None for look in looks)
    return (True if reasons else False if told else None), list(reasons)


def _firmware_reasons(before: Look, during: Sequence[Look], after: Look) -> list[str]:
    """What the bits of get_throttled say: set while measuring, or new since boot."""
    bits = 0
    for look in (before, *during, after):
        bits |= (look.health.throttled or 0) & 0xF
    new = (after.health.throttled or 0) & ~(before.health.throttled or 0)
    bits |= new >> 16 & 0xF
    named = Health(None, None, bits).throttle_reasons
    return [f"{reason.removesuffix(' now')} while measuring" for reason in named]


def _limits(look: Look) -> list[str]:
    return [
        f"the frequency was limited to {clock.allowed_mhz:.0f} of {clock.possible_mhz:.0f} MHz"
        for clock in look.clocks
        if clock.allowed_mhz and clock.possible_mhz and clock.allowed_mhz < clock.possible_mhz
    ]


def _asked(look: Look) -> float:
    return max((clock.asked_mhz or 0 for clock in look.clocks), default=0.0)


def _is_slow(look: Look) -> bool:
    return look.measured_mhz is not None and look.measured_mhz < _SLOW * _asked(look)
