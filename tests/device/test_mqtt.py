"""MQTT without a broker; with a real one it is tested in tests/slow/test_mqtt_broker.py."""

from __future__ import annotations

import json
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from made import result, vitals

from fer_edge.device.mqtt import Broker, Mqtt, device_name, read_broker
from fer_edge.device.mqtt.discovery import discovery, discovery_topic
from fer_edge.device.run import RunOptions, run
from fer_edge.device.services import ServiceOptions
from fer_edge.errors import FerEdgeError


def test_addresses_have_their_usual_ports():
    assert read_broker("mqtt://broker") == Broker("broker", 1883, False)
    assert read_broker("mqtts://10.0.0.1") == Broker("10.0.0.1", 8883, True)
    assert str(read_broker("mqtts://broker:99")) == "mqtts://broker:99"


@pytest.mark.parametrize(
    "url",
    [
        "broker",
        "http://broker",
        "mqtt://",
        "mqtt://broker:x",
        "mqtt://b/topic",
        "mqtt://[",
        "mqtt://broker..lan",
        f"mqtt://{'x' * 64}.lan",
    ],
)
def test_what_is_no_brokers_address_is_refused(url):
    with pytest.raises(FerEdgeError, match="no MQTT broker's address"):
        read_broker(url)


def test_a_password_in_the_address_is_refused_and_not_repeated():
    with pytest.raises(FerEdgeError) as caught:
        read_broker("mqtt://me:secret@broker")
    assert "secret" not in str(caught.value)
    assert "--mqtt-auth" in caught.value.hint


def test_credentials_and_certificates_come_from_a_file(tmp_path):
    (tmp_path / "ca.pem").touch()
    auth = tmp_path / "auth.toml"
    auth.write_text('username = "camera"\npassword = "secret"\nca = "ca.pem"\n')
    broker = read_broker("mqtts://broker", auth)
    assert (broker.username, broker.password) == ("camera", "secret")
    assert broker.ca == tmp_path / "ca.pem"
    assert "secret" not in str(broker)


def test_certificates_beside_the_credentials_are_found_among_a_services_secrets(
    tmp_path, monkeypatch
):
    # as systemd makes them of /etc/fer-edge/secrets
    for name in ("ca.pem", "own_cert.pem", "own_key.pem"):
        (tmp_path / f"secret_{name}").touch()
    auth = tmp_path / "secret_broker.toml"
    auth.write_text('ca = "ca.pem"\ncertificate = "own/cert.pem"\nkey = "own/key.pem"\n')
    with pytest.raises(FerEdgeError, match=r"there is no readable file .*/ca\.pem"):
        read_broker("mqtts://broker", auth)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    broker = read_broker("mqtts://broker", auth)
    assert broker.ca == tmp_path / "secret_ca.pem"
    assert broker.certificate == tmp_path / "secret_own_cert.pem"
    assert broker.key == tmp_path / "secret_own_key.pem"
    (tmp_path / "secret_ca.pem").unlink()
    with pytest.raises(FerEdgeError, match=r"there is no readable file .*/ca\.pem") as caught:
        read_broker("mqtts://broker", auth)
    assert "beside the credentials" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        ('user = "a"', "unknown key 'user'", "did you mean 'username'"),
        ("password = 5", "password is not a text", "write password"),
        ('password = "secret', "not valid TOML", "username"),
        ('ca = "absent.pem"', "there is no readable file", "path"),
        ('key = "auth.toml"', "belong together", "both"),
    ],
)
def test_a_wrong_credentials_file_is_named_without_its_password(tmp_path, content, message, hint):
    auth = tmp_path / "auth.toml"
    auth.write_text(content)
    with pytest.raises(FerEdgeError, match=message) as caught:
        read_broker("mqtts://broker", auth)
    assert hint in caught.value.hint
    assert "secret" not in str(caught.value)


def test_certificates_for_an_unencrypted_connection_are_refused(tmp_path):
    auth = tmp_path / "auth.toml"
    auth.write_text('ca = "auth.toml"')
    with pytest.raises(FerEdgeError, match="not encrypted"):
        read_broker("mqtt://broker", auth)


def test_a_device_keeps_its_name_and_a_given_one_has_to_fit_a_topic():
    assert device_name(None) == device_name(None)
    assert device_name("door-1") == "door-1"
    for name in ("", "a/b", "#", "ü", "x" * 65):
        with pytest.raises(FerEdgeError, match="cannot be a device's name"):
            device_name(name)


def test_home_assistant_is_told_of_sensors_that_read_the_documented_topics():
    topics = {name: f"fer-edge/door/{name}" for name in ("status", "state", "event")}
    told = discovery("door", topics, vitals().board)
    assert discovery_topic("door") == "homeassistant/device/door/config"
    assert told["availability_topic"] == topics["status"]
    assert told["device"]["identifiers"] == ["door"]
    parts = told["components"]
    assert {part["unique_id"] for part in parts.values()} == {f"door_{key}" for key in parts}
    assert {part["state_topic"] for part in parts.values()} == {topics["state"], topics["event"]}
    assert parts["event"]["event_types"] == ["appear", "change", "leave"]
    json.dumps(told)


class _Deaf(threading.Thread):
    """A broker on ``port`` that takes a connection and all that is sent, and confirms nothing."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.heard = b""
        self.start()

    def run(self) -> None:
        connection, _ = self._listening.accept()
        self.heard += connection.recv(4096)
        connection.sendall(b"\x20\x02\x00\x00")  # CONNACK: accepted
        while data := connection.recv(4096):
            self.heard += data


def test_the_farewell_does_not_wait_behind_events_that_are_not_confirmed_by_a_broker_made_up():
    deaf = _Deaf()
    output = Mqtt(Broker("127.0.0.1", deaf.port, False), "door", vitals(), queue=1000)
    with output:
        until = time.monotonic() + 10
        while not output._client.is_connected() and time.monotonic() < until:
            time.sleep(0.01)
        for index in range(30):
            output.write(result(index, event="change"))
    deaf.join(5)
    # the topic stands in the will as well
    assert deaf.heard.count(b"fer-edge/door/statusoffline") == 1
    assert deaf.heard.endswith(b"\xe0\x00")  # DISCONNECT


class _Hasty(threading.Thread):
    """A broker that takes connections and ends them at once, as for another of the same name."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.patient = False
        self.start()

    def run(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            connection.recv(4096)
            connection.sendall(b"\x20\x02\x00\x00")  # CONNACK: accepted
            time.sleep(0.05)
            if self.patient:
                self._kept = connection
            else:
                connection.close()


def _wait(until: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not until() and time.monotonic() < end:
        time.sleep(0.02)
    assert until()


def test_a_broker_that_ends_every_connection_has_another_client_of_that_name(monkeypatch):
    monkeypatch.setattr("fer_edge.device.mqtt.output._RECONNECT_S", (0.05, 0.1))
    monkeypatch.setattr("fer_edge.device.mqtt.output.BRIEF_S", 2.0)
    hasty = _Hasty()
    said: list[str] = []
    address = Broker("127.0.0.1", hasty.port, False)
    with Mqtt(address, "door", vitals(), queue=10, report=said.append) as output:
        _wait(lambda: any("another client with the name door" in line for line in said))
        assert "--mqtt-name" in said[-1]
        count = len(said)
        time.sleep(0.5)  # several connections
        assert len(said) == count
        hasty.patient = True
        _wait(output._client.is_connected)
        time.sleep(2.1)
        output.write(result(0))
        assert "is there again" in said[-1]


@pytest.fixture
def encrypted(tmp_path: Path) -> Iterator[socket.socket]:
    """Where somebody listens who shows a certificate that nobody knows, to one client."""
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    subprocess.run(
        [*make.split(), "-subj", "/CN=broker", "-keyout", "key.pem", "-out", "own.pem"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "own.pem", tmp_path / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def shake_hands() -> None:
            connection, _ = listening.accept()
            with suppress(OSError), context.wrap_socket(connection, server_side=True):
                pass

        threading.Thread(target=shake_hands, daemon=True).start()
        yield listening


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_a_broker_with_an_unknown_certificate_answers_and_why_that_is_no_use_is_said(encrypted):
    said: list[str] = []
    broker = Broker("127.0.0.1", encrypted.getsockname()[1], True)
    with Mqtt(broker, "door", vitals(), queue=10, report=said.append):
        _wait(lambda: bool(said))
    reason = "certificate verify failed: self.signed certificate"
    assert re.match(f"{broker} answers, but {reason}; going on", said[0])


def test_a_name_that_nobody_resolves_does_not_hold_the_end_up(monkeypatch):
    free = threading.Event()

    def look_up(*_: object, **__: object) -> None:
        free.wait(20)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    output = Mqtt(Broker("broker.lan", 1883, False), "door", vitals(), queue=10)
    with output:
        time.sleep(0.1)
        began = time.monotonic()
    assert time.monotonic() - began < 4
    free.set()


def test_while_inference_is_stopped_nobody_is_said_to_be_seen(monkeypatch):
    run = vitals()
    output = Mqtt(Broker("127.0.0.1", 1, False), "door", run, queue=10)
    output.write(result(0, faces=1))
    assert output._state["faces"] == 1
    run.control.stop()
    output._shown_at -= 1.0
    output.idle()
    assert (output._state["faces"], output._state["label"]) == (0, None)


def test_without_a_broker_events_wait_and_those_too_many_are_lost_and_counted():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    said: list[str] = []
    broker = Broker("127.0.0.1", port, False)
    output = Mqtt(broker, "door", vitals(), queue=10, report=said.append)
    with output:
        began = time.perf_counter()
        for index in range(15):
            output.write(result(index, event="change"))
        assert time.perf_counter() - began < 0.5
        assert (output.waiting, output.lost) == (10, 5)
        until = time.monotonic() + 10
        while not any("no answer" in line for line in said) and time.monotonic() < until:
            time.sleep(0.01)
        output.settle()
    assert len(said) == 3
    assert any("more are lost" in line for line in said)
    assert f"no answer from mqtt://127.0.0.1:{port}" in "".join(said)
    assert "10 events have not reached" in said[-1]
    assert output.lost == 15


def test_events_that_no_broker_took_are_lost_in_the_summary(bundle, clip, capsys):
    services = ServiceOptions(mqtt="mqtt://127.0.0.1:1")
    run(RunOptions(bundle=bundle, video=clip.path, json=True, services=services))
    shown = capsys.readouterr()
    *events, summary = map(json.loads, shown.out.splitlines())
    happened = sum("event" in event for event in events)
    assert summary["lost"] == {"mqtt": happened}
    assert f"{happened} events have not reached mqtt://127.0.0.1:1" in shown.err
