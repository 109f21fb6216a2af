"""What Home Assistant is told of this device: one retained message."""

from __future__ import annotations

from typing import Any

from fer_edge import __version__
from fer_edge.board import Board

EVENT_TYPES = ("appear", "change", "leave")

_EVENT = (
    "{{ {'event_type': value_json.event, 'track': value_json.track, 'label': value_json.label, "
    "'previous': value_json.previous, 'confidence': value_json.confidence} | tojson }}"
)


def discovery_topic(device: str) -> str:
    """Where Home Assistant looks for it."""
    return f"homeassistant/device/{device}/config"


def discovery(device: str, topics: dict[str, str], board: Board) -> dict[str, Any]:
    """Return the message that makes Home Assistant show the device.

    Args:
        device: its name in topics.
        topics: ``status``, ``state`` and ``event``.
        board: the machine.
    """
    state = topics["state"]
    components = {
        "expression": _sensor("Expression", state, "label", icon="mdi:emoticon-outline"),
        "confidence": _sensor("Confidence", state, "confidence", state_class="measurement"),
        "faces": _sensor(
            "Faces in view", state, "faces", icon="mdi:account-multiple", state_class="measurement"
        ),
        "rate": _sensor(
            "Frame rate",
            state,
            "fps",
            unit_of_measurement="fps",
            state_class="measurement",
            entity_category="diagnostic",
        ),
        "latency": _sensor(
            "Latency p90",
            state,
            "latency_p90_ms",
            device_class="duration",
            unit_of_measurement="ms",
            state_class="measurement",
            entity_category="diagnostic",
        ),
        "event": {
            "platform": "event",
            "name": "Face",
            "state_topic": topics["event"],
            "value_template": _EVENT,
            "event_types": list(EVENT_TYPES),
        },
    }
    return {
        "device": {
            "identifiers": [device],
            "name": device,
            "manufacturer": "fer-edge",
            "model": board.model or board.architecture,
            "sw_version": __version__,
        },
        "origin": {"name": "fer-edge", "sw_version": __version__},
        "components": {
            key: component | {"unique_id": f"{device}_{key}"}
            for key, component in components.items()
        },
        "availability_topic": topics["status"],
        "qos": 1,
    }


def _sensor(name: str, topic: str, value: str, **more: str) -> dict[str, Any]:
    template = f"{{{{ value_json.{value} }}}}"  # null comes out as None, which shows as "unknown"
    return {
        "platform": "sensor",
        "name": name,
        "state_topic": topic,
        "value_template": template,
    } | more
