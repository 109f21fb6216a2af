"""``fer-edge run`` and ``doctor``: what a device calls."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fer_edge.cli.config import config_text, read_config
from fer_edge.cli.ending import WrongUse
from fer_edge.cli.options import DetectEvery, Detector, Images, Keys, MinFace
from fer_edge.errors import FerEdgeError
from fer_edge.shipped import find_shipped


class RunCommand(typer.core.TyperCommand):
    """Lets ``--camera`` and ``--serve`` stand alone; a source named here beats the file's."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        filled = []
        for place, arg in enumerate(args):
            is_value, alone = _OPTIONAL.get(arg, (None, ""))
            bare = is_value is not None and not is_value("".join(args[place + 1 : place + 2]))
            filled.append(f"{arg}={alone}" if bare else arg)
        try:
            rest = super().parse_args(ctx, filled)
        except WrongUse as error:
            _explain_stray(args, error)
            raise
        told = {name for name in _SOURCES if _on_command_line(ctx, name)}
        if told:
            ctx.params |= dict.fromkeys(_SOURCES - told)
        return rest


def _explain_stray(args: list[str], error: Exception) -> None:
    """Raise FerEdgeError where a source of frames stands on a command line without its option."""
    from fer_edge.device.sources import address_in, option_for

    addresses = [address_in(word) for word in args if word in str(error)]
    if shown := next(filter(None, addresses), None):
        raise FerEdgeError(
            f"{shown} stands there without its option", "name it with --camera"
        ) from error
    stray = next((word for word in args if f"({word})" in str(error)), None)
    if stray is not None and (option := option_for(Path(stray))):
        raise FerEdgeError(
            f"{stray} stands there without its option", f"name it with {option} {stray}"
        ) from error


def _is_camera(word: str) -> bool:
    return word.isdecimal() or word.startswith("/dev/") or "://" in word


def _is_address(word: str) -> bool:
    return word.isdecimal() or (":" in word and "/" not in word)


def _on_command_line(ctx: Any, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


_OPTIONAL = {"--camera": (_is_camera, "0"), "--serve": (_is_address, "127.0.0.1:8080")}
_SOURCES = {"camera", "video", "images"}


def run(
    ctx: typer.Context,
    bundle: Annotated[
        Path | None,
        typer.Argument(
            help="A bundle (.fer), a shipped model's name, or a folder of installed bundles; a "
            "bare .tflite or .onnx runs too, unproven.",
            show_default="the newest in ./bundles or here, else the installed one, else edge-small",
        ),
    ] = None,
    camera: Annotated[
        str | None,
        typer.Option(
            "--camera",
            metavar="[N|/dev/videoN|URL]",
            help="A camera: its number (0 if none follows), its node, or its rtsp:// or http:// "
            "address.",
        ),
    ] = None,
    video: Annotated[Path | None, typer.Option("--video", help="A video file.")] = None,
    images: Images = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Events as JSON lines on standard output.")
    ] = False,
    every_frame: Annotated[
        bool, typer.Option("--every-frame", help="A JSON line for frames without a face as well.")
    ] = False,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save",
            help="Write an annotated video (.mp4, .avi, .mkv); of --images also a folder of "
            "pictures.",
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Show a window; q closes it.")] = False,
    max_frames: Annotated[
        int | None, typer.Option("--max-frames", help="Stop after so many frames.")
    ] = None,
    min_face: MinFace = 0.15,
    detector: Detector = None,
    detect_every: DetectEvery = 10,
    smoothing: Annotated[
        float,
        typer.Option("--smoothing", metavar="SECONDS", help="Time constant; 0 does not smooth."),
    ] = 0.2,
    min_confidence: Annotated[
        float | None,
        typer.Option(
            "--min-confidence",
            help="Less probable expressions are called uncertain.",
            show_default="the bundle's, else 0.35",
        ),
    ] = None,
    threads: Annotated[
        int, typer.Option("--threads", help="Threads of one inference, at most one a core.")
    ] = 1,
    key: Keys = None,
    log: Annotated[
        Path | None, typer.Option("--log", help="Events as JSON lines in a file, rotated.")
    ] = None,
    log_size: Annotated[
        float,
        typer.Option("--log-size", metavar="MIB", help="Most that the log and its parts take."),
    ] = 20.0,
    log_faces: Annotated[
        bool,
        typer.Option(
            "--log-faces/--no-log-faces",
            help="A line for every face of every frame in the log, or only what happens to faces.",
        ),
    ] = True,
    serve: Annotated[
        str | None,
        typer.Option(
            "--serve",
            metavar="[HOST:PORT]",
            help="A page with live preview, events and metrics (127.0.0.1:8080 if none follows).",
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", help="File with the token that the page asks for."),
    ] = None,
    mqtt: Annotated[
        str | None,
        typer.Option("--mqtt", metavar="URL", help="A broker: mqtt://HOST or mqtts://HOST."),
    ] = None,
    mqtt_auth: Annotated[
        Path | None,
        typer.Option("--mqtt-auth", help="TOML file: username, password, ca, certificate, key."),
    ] = None,
    mqtt_name: Annotated[
        str | None,
        typer.Option(
            "--mqtt-name",
            help="The device's name in MQTT topics.",
            show_default="drawn from /etc/machine-id",
        ),
    ] = None,
    mqtt_queue: Annotated[
        int,
        typer.Option("--mqtt-queue", metavar="N", help="Events that wait for an absent broker."),
    ] = 1000,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            is_eager=True,
            callback=read_config,
            help="TOML file with any of these options; the command line goes before it.",
        ),
    ] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print such a file with what holds now.")
    ] = False,
) -> None:
    """Find faces in a camera, a video or pictures; name their expressions; time every stage.

    The bundle proves itself on this machine first: signature, checksums, golden set.
    Ctrl-C ends the run properly: summary printed, video finished, exit code 130.

    [bold]Example:[/] fer-edge run --images face.jpg

    [bold]Example:[/] fer-edge run edge-small --video clip.mp4 --save annotated.mp4
    """
    if print_config:
        typer.echo(config_text(ctx), nl=False)
        return
    from fer_edge.device.run import RunOptions
    from fer_edge.device.run import run as run_device
    from fer_edge.device.services import ServiceOptions
    from fer_edge.device.smoothing import Smoothing

    options = RunOptions(
        bundle=None if bundle is None else find_shipped(bundle),
        video=video,
        images=images,
        camera=camera,
        threads=threads,
        min_face=min_face,
        detector=detector,
        detect_every=detect_every,
        smoothing=Smoothing(time_constant=smoothing, min_confidence=min_confidence),
        max_frames=max_frames,
        save=save,
        show=show,
        json=as_json,
        every_frame=every_frame,
        keys=tuple(key or ()),
        services=ServiceOptions(
            log=log,
            log_size=log_size,
            log_faces=log_faces,
            serve=serve,
            token_file=token_file,
            mqtt=mqtt,
            mqtt_auth=mqtt_auth,
            mqtt_name=mqtt_name,
            mqtt_queue=mqtt_queue,
        ),
    )
    raise typer.Exit(run_device(options))


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    get: Annotated[
        str | None,
        typer.Option("--get", metavar="yunet", help="Download a model that is checked, once."),
    ] = None,
) -> None:
    """Say what this machine has, what it lacks, and how to get it.

    [bold]Example:[/] fer-edge doctor --get yunet
    """
    from fer_edge.device.doctor import get_model, print_findings

    if get is not None:
        get_model(get)
        return
    print_findings(as_json=as_json)
