"""Which outputs are opened, and what is imported for them."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
from made import result, vitals

from fer_edge.device.services import ServiceOptions, open_services
from fer_edge.errors import FerEdgeError


def test_nothing_of_an_extra_is_imported_unless_asked_for():
    code = (
        "import sys, fer_edge.device.run; heavy = {'aiohttp', 'paho', 'prometheus_client'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("options", "absent", "extra"),
    [
        (ServiceOptions(serve="8080"), "aiohttp", "fer-edge[web]"),
        (ServiceOptions(serve="8080"), "prometheus_client", "fer-edge[web]"),
        (ServiceOptions(mqtt="mqtt://broker"), "paho", "fer-edge[mqtt]"),
    ],
)
def test_a_missing_extra_is_named(monkeypatch, options, absent, extra):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == absent else find(name)
    )
    with pytest.raises(FerEdgeError) as caught:
        open_services(options, vitals())
    assert absent in caught.value.message
    assert extra in caught.value.hint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"log_size": 0.01}, "--log-size is from 0.1 to 1048576 MiB, got 0.01"),
        ({"log_size": float("nan")}, "--log-size is from 0.1 to 1048576 MiB, got nan"),
        ({"log_size": float("inf")}, "--log-size is from 0.1 to 1048576 MiB, got inf"),
        ({"mqtt_queue": 0}, "--mqtt-queue is from 1 to 60000, got 0"),
        ({"token_file": "t"}, "none is served"),
        ({"mqtt_auth": "a"}, "none was named"),
        ({"mqtt_name": "a"}, "none was named"),
        ({"serve": "0.0.0.0:80"}, "there is no token"),
        ({"mqtt": "broker"}, "no MQTT broker's address"),
    ],
)
def test_values_that_mean_nothing_are_refused(options, message):
    with pytest.raises(FerEdgeError, match=message):
        open_services(ServiceOptions(**options), vitals())


def test_what_was_asked_for_is_opened_and_tells_what_it_lost(tmp_path):
    run = vitals()
    log = tmp_path / "e.jsonl"
    options = ServiceOptions(log=log, log_faces=False, serve="0", mqtt="mqtt://broker")
    run.outputs.extend(open_services(options, run))
    assert [type(output).__name__ for output in run.outputs] == ["LogFile", "WebPage", "Mqtt"]
    assert run.lost() == {"log": 0, "mqtt": 0}
    with run.outputs[0] as output:
        output.write(result(faces=2, event="appear"))
    assert len(log.read_text().splitlines()) == 1
