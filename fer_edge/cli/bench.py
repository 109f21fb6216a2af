"""``fer-edge bench``: how long this machine takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fer_edge.cli.models import all_by_name
from fer_edge.cli.options import DetectEvery, Detector, Images, Keys, MinFace
from fer_edge.errors import FerEdgeError

if TYPE_CHECKING:
    from fer_edge.face import Pixels


def bench(
    bundles: Annotated[
        list[Path] | None,
        typer.Argument(
            callback=all_by_name,
            help="Bundles (.fer), shipped models' names or bare models; several take turns, and "
            "their ratios are given.",
            show_default="the newest in ./bundles or here, else the installed one, else edge-small",
        ),
    ] = None,
    video: Annotated[
        Path | None,
        typer.Option("--video", help="Frames for the pipeline.", show_default="a drawn clip"),
    ] = None,
    images: Images = None,
    scenario: Annotated[
        str | None,
        typer.Option(
            "--scenario", metavar="model|pipeline", help="Only one of them.", show_default="both"
        ),
    ] = None,
    threads: Annotated[
        str | None,
        typer.Option(
            "--threads",
            metavar="1,2,4",
            help="Of an inference, and of OpenCV in the pipeline; one after the other.",
            show_default="1 to the number of cores",
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A second each; for a first look, marked as such.")
    ] = False,
    detector: Detector = None,
    detect_every: DetectEvery = 10,
    min_face: MinFace = 0.15,
    key: Keys = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            "--compare", metavar="A B", help="Measure nothing: ratios of two results (-o)."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The result on standard output.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File for the result, as JSON.")
    ] = None,
) -> None:
    """Measure the latency of a model alone and of the whole pipeline, one query at a time.

    After a warm-up at least 60 seconds and 1,024 queries each, as in MLPerf's single stream, with
    what the machine's sensors say. Ctrl-C ends it with what was measured.

    [bold]Example:[/] fer-edge bench edge-small --threads 1,4 -o pi5.json
    """
    from fer_edge.device.bench.plan import BenchOptions
    from fer_edge.device.bench.rule import QUICK, SINGLE_STREAM
    from fer_edge.device.bench.run import bench as run_bench
    from fer_edge.device.bench.run import compare_files

    if compare is not None:
        if bundles:
            raise FerEdgeError("--compare takes two results, no bundles", "leave one of them out")
        compare_files(*compare, as_json=as_json, output=output)
        return
    options = BenchOptions(
        draw=_draw,
        bundles=tuple(bundles or ()),
        keys=tuple(key or ()),
        scenario=scenario,
        video=video,
        images=images,
        threads=threads,
        detector=detector,
        detect_every=detect_every,
        min_face=min_face,
        rule=QUICK if quick else SINGLE_STREAM,
        json=as_json,
        output=output,
    )
    raise typer.Exit(run_bench(options))


def _draw(frames: int, size: tuple[int, int]) -> Iterator[Pixels]:
    from fer_edge.data.clip import draw_frames

    return (picture for picture, _ in draw_frames(frames, size, people=2, seed=0))
