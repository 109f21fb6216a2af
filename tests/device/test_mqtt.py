"""MQTT without a broker; with a real one it is tested in tests/slow/test_mqtt_broker.py."""

from __future__ import annotations

import json
import socket
import time

import pytest
from made import result, vitals

from fer_edge.device.mqtt import Broker, Mqtt, device_name, read_broker
from fer_edge.device.mqtt.discovery import discovery, discovery_topic
from fer_edge.errors import FerEdgeError


def test_addresses_have_their_usual_ports():
    assert read_broker("mqtt://broker") == Broker("broker", 1883, False)
    assert read_broker("mqtts://10.0.0.1") == Broker("10.0.0.1", 8883, True)
    assert str(read_broker("mqtts://broker:99")) == "mqtts://broker:99"


@pytest.mark.parametrize(
    "url", ["broker", "http://broker", "mqtt://", "mqtt://broker:x", "mqtt://b/topic", "mqtt://["]
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


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        ('user = "a"', "unknown key 'user'", "did you mean 'username'"),
        ("password = 5", "password is not a text", "write password"),
        ('password = "secret', "not valid TOML", "username"),
        ('ca = "absent.pem"', "there is no file", "path"),
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
        output.finish({})
    assert len(said) == 3
    assert any("more are lost" in line for line in said)
    assert f"no answer from mqtt://127.0.0.1:{port}" in "".join(said)
    assert "10 events have not reached" in said[-1]
