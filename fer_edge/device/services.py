"""The outputs of a device that nobody sits at: a log, a web page, MQTT."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fer_edge.device.outputs import LogFile, Output
from fer_edge.device.vitals import Vitals
from fer_edge.errors import FerEdgeError, require_extra

_MOST_MIB = 1 << 20  # a TiB


@dataclass(frozen=True)
class ServiceOptions:
    """Which of them there are; by default none."""

    log: Path | None = None
    """File for events as JSON lines."""
    log_size: float = 20.0
    """MiB that the log and its older parts take together, at most."""
    log_faces: bool = True
    """Whether it tells of every face of every frame, and not of what happens to faces alone."""
    serve: str | None = None
    """Address of the web page; see ``parse_address``."""
    token_file: Path | None = None
    """File with the token that the page asks for."""
    mqtt: str | None = None
    """A broker's address; see ``read_broker``."""
    mqtt_auth: Path | None = None
    """TOML file with credentials and certificates for the broker."""
    mqtt_name: str | None = None
    """The device's name in MQTT topics; None for one that stays the machine's own."""
    mqtt_queue: int = 1000
    """Events that may wait for the broker."""


def open_services(
    options: ServiceOptions,
    vitals: Vitals,
    *,
    every_frame: bool = False,
    report: Callable[[str], None] = lambda text: None,
) -> list[Output]:
    """Return the outputs that were asked for, not yet entered; nothing else is imported.

    Args:
        options: which.
        vitals: the run, as far as it tells of itself.
        every_frame: whether the log has lines for frames without a face.
        report: is told of what goes wrong while the run goes on, one line each, from any thread.

    Raises:
        FerEdgeError: a value means nothing, or an extra is missing.
    """
    _check(options)
    outputs: list[Output] = []
    if options.log is not None:
        log = LogFile(
            options.log,
            vitals.classifier.labels,
            limit=int(options.log_size * (1 << 20)),
            faces=options.log_faces,
            every_frame=every_frame,
            report=report,
        )
        outputs.append(log)
    if options.serve is not None:
        outputs.append(_web(options, vitals, report))
    if options.mqtt is not None:
        outputs.append(_mqtt(options, vitals, report))
    return outputs


def _check(options: ServiceOptions) -> None:
    if not 0.1 <= options.log_size <= _MOST_MIB:
        raise FerEdgeError(
            f"--log-size is from 0.1 to {_MOST_MIB} MiB, got {options.log_size:g}", "for example 20"
        )
    if not 1 <= options.mqtt_queue <= 60_000:  # MQTT numbers messages with 16 bits
        raise FerEdgeError(
            f"--mqtt-queue is from 1 to 60000, got {options.mqtt_queue}", "for example 1000"
        )
    if options.token_file is not None and options.serve is None:
        raise FerEdgeError("--token-file is for a page, and none is served", "add --serve")
    for name, value in (("auth", options.mqtt_auth), ("name", options.mqtt_name)):
        if value is not None and options.mqtt is None:
            raise FerEdgeError(
                f"--mqtt-{name} is for a broker, and none was named", "add --mqtt mqtt://HOST"
            )


def _web(options: ServiceOptions, vitals: Vitals, report: Callable[[str], None]) -> Output:
    for module in ("aiohttp", "prometheus_client"):
        require_extra(module, "web")
    from fer_edge.device.web import WebPage, parse_address
    from fer_edge.device.web.access import read_token

    assert options.serve is not None
    token = None if options.token_file is None else read_token(options.token_file)
    return WebPage(parse_address(options.serve), vitals, token=token, report=report)


def _mqtt(options: ServiceOptions, vitals: Vitals, report: Callable[[str], None]) -> Output:
    require_extra("paho", "mqtt")
    from fer_edge.device.mqtt import Mqtt, device_name, read_broker

    assert options.mqtt is not None
    broker = read_broker(options.mqtt, options.mqtt_auth)
    device = device_name(options.mqtt_name)
    return Mqtt(broker, device, vitals, queue=options.mqtt_queue, report=report)
