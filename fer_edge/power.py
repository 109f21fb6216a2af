"""What a Raspberry Pi 5 draws, rail by rail; boards before it cannot tell."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fer_edge.board import ask_firmware

_READING = re.compile(r"(\w+)_([AV]) (?:current|volt)\(\d+\)=(\d+\.\d+)[AV]")


@dataclass(frozen=True)
class Power:
    """One look at the power management chip."""

    rails_watts: dict[str, float]
    """Volts × amperes of every rail whose current it measures, by the rail's name."""
    input_volts: float | None
    """At the USB-C connector; its current is not measured."""

    @property
    def watts(self) -> float:
        """The rails' sum: without what their converters lose, what USB devices and a fan draw."""
        return sum(self.rails_watts.values())


def read_power() -> Power | None:
    """Ask the power management chip; None on a machine that has none."""
    volts: dict[str, float] = {}
    amperes: dict[str, float] = {}
    for rail, unit, value in _READING.findall(ask_firmware("pmic_read_adc") or ""):
        (volts if unit == "V" else amperes)[rail] = float(value)
    rails = {rail: volts[rail] * current for rail, current in amperes.items() if rail in volts}
    return Power(rails, volts.get("EXT5V")) if rails else None
