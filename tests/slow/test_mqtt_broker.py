"""MQTT with a real broker that goes away and comes back."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

sys.path.insert(0, str(Path(__file__).parents[1] / "device"))
from made import result, vitals

from fer_edge.device.mqtt import Broker, Mqtt, read_broker
from fer_edge.errors import FerEdgeError

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(
    MOSQUITTO is None, reason="needs a broker: apt-get install mosquitto"
)


def _wait(until: Callable[[], bool], what: str, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, what
        time.sleep(0.02)


class RealBroker:
    """A mosquitto that keeps what it was given over a restart."""

    def __init__(self, folder: Path, *more: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._settings = folder / "mosquitto.conf"
        lines = (
            f"listener {self.port} 127.0.0.1",
            "user root",
            "persistence true",
            f"persistence_location {folder}/",
            *(more or ("allow_anonymous true",)),
        )
        self._settings.write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        assert MOSQUITTO is not None
        self._process = subprocess.Popen(
            [MOSQUITTO, "-c", str(self._settings)], stderr=subprocess.DEVNULL
        )

        def answers() -> bool:
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", self.port)) == 0

        _wait(answers, "mosquitto does not start")

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(10)


class Observer:
    """Somebody who subscribes durably: what comes while it is away, it is given later."""

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[str, str, bool]] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2, "observer", clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *rest: client.subscribe("#", qos=1)
        self._client.on_message = lambda client, data, message: self.heard.append(
            (message.topic, message.payload.decode(), message.retain)
        )
        self.ready = False
        self._client.on_subscribe = lambda *rest: setattr(self, "ready", True)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        _wait(lambda: self.ready, "no subscription")

    def events(self) -> list[dict]:
        return [json.loads(text) for topic, text, _ in self.heard if topic.endswith("/event")]

    def last(self, topic: str) -> str | None:
        return next((text for heard, text, _ in reversed(self.heard) if heard == topic), None)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[RealBroker]:
    made = RealBroker(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def observer(broker: RealBroker) -> Iterator[Observer]:
    made = Observer(broker.port)
    yield made
    made.close()


def _output(broker: RealBroker, said: list[str], queue: int = 1000) -> Mqtt:
    address = Broker("127.0.0.1", broker.port, False)
    return Mqtt(address, "door", vitals(), queue=queue, report=said.append)


def test_while_the_broker_is_away_nothing_is_lost_and_nothing_comes_twice(broker, observer):
    said: list[str] = []
    with _output(broker, said) as output:
        count = 0

        def write(events: int) -> None:
            nonlocal count
            for _ in range(events):
                output.write(result(count, event="change"))
                count += 1
                time.sleep(0.005)

        write(100)
        broker.stop()
        write(300)
        assert "has gone" in said[0]
        broker.start()
        write(100)
        _wait(lambda: "is there again" in said[-1], f"not back: {said}", 90)
        write(100)
        output.settle()
        assert (output.waiting, output.lost) == (0, 0)
    _wait(lambda: len(observer.events()) >= count, "events are missing", 30)
    time.sleep(0.5)
    heard = observer.events()
    assert set(Counter(event["id"] for event in heard).values()) == {1}
    # those that waited may come after newer ones
    assert sorted(event["frame"] for event in heard) == list(range(count))
    assert len(said) == 2


def test_two_of_one_name_are_told_of_each_other_once_and_of_peace_afterwards(broker):
    said: tuple[list[str], list[str]] = ([], [])
    with _output(broker, said[0]) as output:
        _wait(output._client.is_connected, "no connection")
        with _output(broker, said[1]):
            for lines in said:
                _wait(lambda lines=lines: "the name door?" in "".join(lines), f"unnoticed: {said}")
            time.sleep(5)
        assert all("--mqtt-name" in lines[-1] for lines in said)
        _wait(output._client.is_connected, "no connection")
        time.sleep(5.5)
        output.idle()
        assert "is there again" in said[0][-1]


def test_what_a_full_queue_cannot_take_is_lost_counted_and_said(broker, observer):
    said: list[str] = []
    with _output(broker, said, queue=50) as output:
        output.write(result(0, event="appear"))
        _wait(lambda: len(observer.events()) == 1, "no event")
        broker.stop()
        _wait(lambda: bool(said), "the broker's end went unnoticed")
        for index in range(1, 101):
            output.write(result(index, event="change"))
        assert output.lost in (50, 51)
        broker.start()
        _wait(lambda: len(observer.events()) == 101 - output.lost, "events are missing", 90)
        output.settle()
    heard = sorted(event["frame"] for event in observer.events())
    assert heard == list(range(101 - output.lost))
    assert any("50 events wait" in line and "more are lost" in line for line in said)


def test_state_status_and_discovery_are_retained_for_whoever_comes_later(broker):
    with _output(broker, []) as output:
        output.write(result(0, faces=2))
        _wait(output._client.is_connected, "no connection")
        time.sleep(1.2)
        output.write(result(1, faces=1))
        time.sleep(0.3)
        late = Observer(broker.port)
        _wait(lambda: len(late.heard) >= 3, "nothing was retained")
        assert late.last("fer-edge/door/status") == "online"
        state = json.loads(late.last("fer-edge/door/state"))
        assert (state["faces"], state["label"], state["confidence"]) == (1, "happy", 0.91)
        told = json.loads(late.last("homeassistant/device/door/config"))
        assert told["components"]["expression"]["state_topic"] == "fer-edge/door/state"
        assert all(retained for _, _, retained in late.heard)
    _wait(lambda: late.last("fer-edge/door/status") == "offline", "no farewell")
    late.close()


_KILLED = """
import sys, time
sys.path.insert(0, {tests!r})
from made import vitals
from fer_edge.device.mqtt import Broker, Mqtt
with Mqtt(Broker("127.0.0.1", {port}, False), "door", vitals(), queue=10):
    time.sleep(60)
"""


def test_the_last_will_tells_that_the_process_was_killed(broker, observer):
    code = _KILLED.format(tests=str(Path(__file__).parents[1] / "device"), port=broker.port)
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        _wait(lambda: observer.last("fer-edge/door/status") == "online", "not online", 60)
        process.kill()
    _wait(lambda: observer.last("fer-edge/door/status") == "offline", "no last will")


def _certificates(folder: Path) -> None:
    """An authority, the broker's certificate for 127.0.0.1, and another authority."""
    for name in ("ca", "other"):
        subprocess.run(
            f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} "
            f"-keyout {name}.key -out {name}.pem",
            cwd=folder,
            shell=True,
            check=True,
            capture_output=True,
        )
    (folder / "san").write_text("subjectAltName=IP:127.0.0.1\n")
    subprocess.run(
        "openssl req -newkey rsa:2048 -nodes -subj /CN=broker -keyout b.key -out b.csr && "
        "openssl x509 -req -in b.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 "
        "-extfile san -out b.pem",
        cwd=folder,
        shell=True,
        check=True,
        capture_output=True,
    )


@pytest.mark.skipif(
    not all(map(shutil.which, ("openssl", "mosquitto_passwd"))), reason="needs openssl"
)
def test_tls_and_a_password_are_used_and_what_is_wrong_is_said(tmp_path):
    _certificates(tmp_path)
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "camera", "secret"], check=True)
    made = RealBroker(
        tmp_path,
        f"cafile {tmp_path}/ca.pem",
        f"certfile {tmp_path}/b.pem",
        f"keyfile {tmp_path}/b.key",
        "allow_anonymous false",
        f"password_file {passwords}",
    )
    auth = tmp_path / "auth.toml"

    def outcome(content: str) -> str:
        auth.write_text(content)
        said: list[str] = []
        broker = read_broker(f"mqtts://127.0.0.1:{made.port}", auth)
        with Mqtt(broker, "door", vitals(), queue=10, report=said.append) as output:
            _wait(lambda: bool(said) or output._client.is_connected(), "nothing happens")
            return said[0] if said else "connected"

    try:
        right = 'username = "camera"\npassword = "secret"\nca = "ca.pem"\n'
        assert outcome(right) == "connected"
        assert "not authori" in outcome(right.replace("secret", "guess"))
        for unknown in (right.replace("ca.pem", "other.pem"), right.replace('ca = "ca.pem"', "")):
            assert "answers, but certificate verify failed: " in outcome(unknown)
        with pytest.raises(FerEdgeError, match="cannot be used"):
            outcome(right.replace("ca.pem", "auth.toml"))
    finally:
        made.stop()
