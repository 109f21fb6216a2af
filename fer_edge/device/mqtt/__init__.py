"""``--mqtt``: events to a broker, the state beside them, and Home Assistant's discovery.

Needs the extra ``mqtt``. A broker that is away holds nothing up.
"""

from __future__ import annotations

from fer_edge.device.mqtt.broker import Broker, device_name, read_broker
from fer_edge.device.mqtt.output import Mqtt

__all__ = ["Broker", "Mqtt", "device_name", "read_broker"]
