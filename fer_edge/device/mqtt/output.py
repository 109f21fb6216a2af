"""Events and state to an MQTT broker."""

from __future__ import annotations

import json
import secrets
import ssl
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from fer_edge.device.mqtt.broker import Broker
from fer_edge.device.mqtt.discovery import discovery, discovery_topic
from fer_edge.device.outputs.base import Output
from fer_edge.device.outputs.jsonl import track_event
from fer_edge.device.pipeline import Face, Result
from fer_edge.device.vitals import Rate, Vitals
from fer_edge.errors import FerEdgeError

STATE_EVERY_S = 1.0
"""Seconds from one state message to the next, at least."""

REFRESH_S = 30.0
"""Seconds after which the state is sent even if nobody's expression changed."""

FAREWELL_S = 3.0
"""Seconds that events may take to leave when the run ends."""

STOP_S = 2.0
"""Seconds that paho's thread may take to end."""

BRIEF_S = 5.0
"""Seconds; a connection that the broker ends sooner is one that it did not want."""

_KEEPALIVE_S = 30
_RECONNECT_S = (1, 60)  # the first pause and the longest


class Mqtt(Output):
    """Publishes to ``fer-edge/DEVICE/``: ``status`` and ``state`` retained, ``event`` with QoS 1.

    All of it happens in a thread of paho's. While the broker is away, events wait in a queue of
    bounded length; those that find it full are lost and counted. Every event carries an ``id`` of
    its own: QoS 1 delivers at least once, and a reader can tell a second delivery by it.
    """

    name = "mqtt"

    def __init__(
        self,
        broker: Broker,
        device: str,
        vitals: Vitals,
        *,
        queue: int,
        report: Callable[[str], None] = lambda text: None,
    ) -> None:
        """``queue`` is how many events may wait; ``report`` is told when the broker goes or comes.

        Raises:
            FerEdgeError: a certificate cannot be used.
        """
        self.lost = 0
        self.topics = {name: f"fer-edge/{device}/{name}" for name in ("status", "state", "event")}
        self._broker = broker
        self._device = device
        self._vitals = vitals
        self._queue = queue
        self._report = report
        self._run = secrets.token_hex(4)
        self._count = 0
        self._rate = Rate()
        self._state: dict[str, Any] = {"faces": 0, "label": None, "confidence": None}
        self._shown: Any = None
        self._shown_at = -REFRESH_S
        self._trouble = ""
        self._since: float | None = None  # when the connection was made
        self._brief = 0  # connections in a row that were ended within BRIEF_S
        self._waiting: set[int] = set()
        self._confirmed: deque[int] = deque()  # filled by paho's thread
        self._client = self._make_client()

    def open(self) -> None:
        self._client.connect_async(self._broker.host, self._broker.port, _KEEPALIVE_S)
        self._client.loop_start()

    def close(self) -> None:
        """Say goodbye and end paho's thread, which is left behind if it does not come back."""
        # without a word of goodbye the broker has to find the connection broken: its will does it
        if self._say_goodbye():
            self._client.disconnect()
        # its thread may be looking up the broker's name, which without a network takes long
        stopping = threading.Thread(target=self._client.loop_stop, daemon=True)
        stopping.start()
        stopping.join(STOP_S)
        del self._client  # which keeps two descriptors for as long as it lives

    def write(self, result: Result) -> None:
        """Queue what happened in one frame; never waits."""
        for happened in result.events:
            self._count += 1
            entry = {"id": f"{self._run}-{self._count}"} | track_event(result, happened)
            self._publish_event(json.dumps(entry, ensure_ascii=False))
        self._tell_state(result.faces)

    def idle(self) -> None:
        """Tell that nobody is seen while inference is stopped."""
        self._tell_state(())

    def settle(self) -> None:
        """Wait for the events that are still on their way, if the broker is there."""
        self._note_confirmed()
        until = time.monotonic() + FAREWELL_S
        while self._client.is_connected() and self.waiting and time.monotonic() < until:
            time.sleep(0.02)
            self._note_confirmed()
        if self.waiting:
            self._report(f"{self.waiting} events have not reached {self._broker}")
        self.lost += self.waiting

    def finish(self, summary: dict[str, Any]) -> None:
        """Nothing to do: a broker is given no summary."""

    @property
    def waiting(self) -> int:
        """Events that the broker had not confirmed when it was last looked."""
        return len(self._waiting)

    def _make_client(self) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=self._device)
        client.max_queued_messages_set(self._queue)
        client.reconnect_delay_set(*_RECONNECT_S)
        client.will_set(self.topics["status"], "offline", qos=1, retain=True)
        broker = self._broker
        if broker.username is not None:
            client.username_pw_set(broker.username, broker.password)
        if broker.tls:
            client.tls_set_context(_tls(broker))
        client.on_connect = self._connected
        client.on_connect_fail = self._unreachable
        client.on_disconnect = self._disconnected
        client.on_publish = self._note_delivery
        return client

    def _publish_event(self, text: str) -> None:
        sent = self._client.publish(self.topics["event"], text, qos=1)
        if sent.rc == paho.MQTT_ERR_QUEUE_SIZE:
            self.lost += 1
            if self.lost == 1:
                self._report(f"{self._queue} events wait for {self._broker}; more are lost")
        else:
            self._waiting.add(sent.mid)

    def _note_confirmed(self) -> None:
        """Strike off what was confirmed, in the pipeline's thread: a confirmation may come before
        ``publish`` has told the message's number."""
        while self._confirmed:
            self._waiting.discard(self._confirmed.popleft())

    def _tell_state(self, faces: Sequence[Face]) -> None:
        now = time.monotonic()
        since = now - self._shown_at
        if since < STATE_EVERY_S:
            return
        self._note_confirmed()
        self._note_that_it_lasts()
        largest = faces[0] if faces else None
        seen = (len(faces), largest and largest.label, self._vitals.control.running)
        if seen == self._shown and since < REFRESH_S:
            return
        self._shown, self._shown_at = seen, now
        recent = self._vitals.tally.latencies.recent("total")
        self._state = {
            "faces": len(faces),
            "label": largest and largest.label,
            "confidence": largest and round(largest.confidence, 3),
            "fps": self._rate.of(self._vitals.tally.frames),
            "latency_p50_ms": recent and round(recent.p50, 2),
            "latency_p90_ms": recent and round(recent.p90, 2),
            "lost": self.lost,
        }
        if self._client.is_connected():
            self._retain(self.topics["state"], self._state)

    def _note_that_it_lasts(self) -> None:
        since = self._since
        if self._contested and since is not None and time.monotonic() - since > BRIEF_S:
            self._brief = 0
            self._report_return()

    @property
    def _contested(self) -> bool:
        """Whether the broker ends every connection, as it does when another client has its name."""
        return self._brief >= 2

    def _report_return(self) -> None:
        self._report(f"{self._broker} is there again; {self.waiting} events were waiting")
        self._trouble = ""

    def _retain(self, topic: str, message: dict[str, Any]) -> None:
        # with QoS 0 it never waits in the queue, where it would take an event's place
        self._client.publish(topic, json.dumps(message, ensure_ascii=False), qos=0, retain=True)

    def _connected(
        self,
        client: paho.Client,
        userdata: Any,
        flags: paho.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._complain(f"{self._broker} refuses: {str(reason).lower()}")
            return
        self._since = time.monotonic()
        if self._trouble and not self._contested:
            self._report_return()
        self._retain(
            discovery_topic(self._device),
            discovery(self._device, self.topics, self._vitals.board),
        )
        client.publish(self.topics["status"], "online", qos=0, retain=True)
        self._retain(self.topics["state"], self._state)

    def _unreachable(self, client: paho.Client, userdata: Any) -> None:
        error = sys.exception()  # paho calls from where it caught it, and does not hand it on
        if isinstance(error, ssl.SSLError):
            self._complain(f"{self._broker} answers, but {_reason(error)}")
        else:
            self._complain(f"no answer from {self._broker}")

    def _disconnected(
        self,
        client: paho.Client,
        userdata: Any,
        flags: paho.DisconnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        since, self._since = self._since, None
        if not reason.is_failure:
            return
        if since is not None:
            brief = time.monotonic() - since < BRIEF_S
            self._brief = self._brief + 1 if brief else 0
        if self._contested:
            self._complain(
                f"{self._broker} ends every connection at once; is there another client with the "
                f"name {self._device}? give this one a name of its own: --mqtt-name"
            )
        else:
            self._complain(f"{self._broker} has gone")

    def _complain(self, text: str) -> None:
        if not self._trouble:
            self._report(f"{text}; going on, up to {self._queue} events wait for it")
        self._trouble = text

    def _note_delivery(
        self,
        client: paho.Client,
        userdata: Any,
        mid: int,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self._confirmed.append(mid)

    def _say_goodbye(self) -> bool:
        """A clean farewell does not call for the last will, so it is said here.

        Returns:
            Whether it was sent, or there is nobody to say it to.
        """
        if not self._client.is_connected():
            return True
        # with QoS 0 it does not wait behind events that the broker has not confirmed
        said = self._client.publish(self.topics["status"], "offline", qos=0, retain=True)
        try:
            said.wait_for_publish(FAREWELL_S)
        except (RuntimeError, ValueError):
            return False  # the connection went in between
        return said.is_published()


def _reason(error: ssl.SSLError) -> str:
    """Why a connection could not be encrypted, or was not to be trusted."""
    what = (error.reason or str(error)).lower().replace("_", " ")
    detail = getattr(error, "verify_message", "")
    return f"{what}: {detail}" if detail else what


def _tls(broker: Broker) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=broker.ca)
        if broker.certificate is not None:
            context.load_cert_chain(broker.certificate, broker.key)
    except (ssl.SSLError, OSError) as error:
        raise FerEdgeError(
            f"a certificate for {broker} cannot be used: {error}", "give it as PEM, readable"
        ) from error
    return context
