"""``fer-edge export``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fer_edge.chatter import import_keras
from fer_edge.cli.train import check_png
from fer_edge.errors import FerEdgeError, require_extra

if TYPE_CHECKING:
    from fer_edge.export.judging.budget import Budget


IMAGES, FRAMES = 350, 100
"""That calibrate unless another number is given; a frame has as many values as forty faces."""


def export(
    run: Annotated[
        Path | None, typer.Argument(help="Run folder.", show_default="the newest in ./runs")
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Quantize to int8, through the gate, into a bundle.")
    ] = False,
    target: Annotated[
        str | None, typer.Option("--target", help="pi-zero-2w, pi-4, pi-5, pc or mcu.")
    ] = None,
    float16: Annotated[
        bool, typer.Option("--float16", help="A TFLite with float16 weights as well.")
    ] = False,
    dynamic: Annotated[
        bool, typer.Option("--dynamic", help="A TFLite with int8 weights alone as well.")
    ] = False,
    data: Annotated[
        str | None, typer.Option("--data", help="The dataset's path.", show_default="the run's")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget", help="What int8 may lose: default, strict, prototype, mcu or a file."
        ),
    ] = None,
    head: Annotated[
        str | None,
        typer.Option("--head", help="Of a run with several.", show_default="the first"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the bundle.", show_default="bundles"),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Overwrite another network's bundle of this name.")
    ] = False,
    calibration: Annotated[
        int | None,
        typer.Option(
            "--calibration",
            help="Training images for the quantizers.",
            min=1,
            show_default="350; of a detector 100 frames",
        ),
    ] = None,
    balance: Annotated[
        bool,
        typer.Option("--balance/--no-balance", help="As many calibration images of each class."),
    ] = True,
    ranges: Annotated[
        str,
        typer.Option("--ranges", help="auto, coverage, minmax, percentile, mse or kl."),
    ] = "auto",
    ladder: Annotated[
        bool,
        typer.Option("--ladder/--no-ladder", help="Try remedies until the budget is kept."),
    ] = True,
    recalibrate_bn: Annotated[
        bool, typer.Option("--recalibrate-bn", help="Estimate batch norms anew where they are off.")
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show what int8 costs layer by layer; no bundle.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="With --explain: draw it, as PNG.")
    ] = None,
    slim: Annotated[
        bool, typer.Option("--slim", help="Ship the int8 TFLite alone, without float and ONNX.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option("--report", help="Folder of a page with all figures and plots.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
) -> None:
    """Turn a run into int8 TFLite and ONNX; refuse if accuracy fell against the float model.

    Example: [bold]fer-edge export runs/triwijoyo --int8[/]
    """
    if not (int8 or explain):
        raise FerEdgeError(
            "a bundle holds an int8 model", "say so with: fer-edge export RUN --int8"
        )
    if explain:
        given: dict[str, object] = {
            "--target": target,
            "--float16": float16,
            "--dynamic": dynamic,
            "--slim": slim,
        }
        given |= {"--budget": budget, "--report": report, "-o": output, "--replace": replace}
        given |= {"--no-ladder": not ladder}
        if unfit := [name for name, value in given.items() if value]:
            raise FerEdgeError(
                f"--explain writes no bundle and judges none: it takes no {', '.join(unfit)}",
                "leave out what it does not take",
            )
    if plot and not explain:
        raise FerEdgeError("--plot draws what --explain finds", "add --explain")
    if plot:
        check_png(plot)
    needed = ("pydantic", "ai_edge_litert", "cv2", "jinja2", "onnxruntime", "tensorflow", "tf2onnx")
    for module in (*needed, "matplotlib"):
        require_extra(module, "export")
    from fer_edge.export.judging.budget import load_budget
    from fer_edge.export.targets import choose_formats, find_target

    board = find_target(target) if target else None
    chosen = choose_formats(board, slim=slim, float16=float16, dynamic=dynamic)
    limits = load_budget(budget or (board.budget if board else None))
    # the converters are TensorFlow's, whatever the network was trained on
    import_keras(backend="tensorflow")
    from fer_edge.export.exporter import check_writable
    from fer_edge.export.exporter import export as export_run
    from fer_edge.export.showing.explaining import explain_run, print_explanation
    from fer_edge.export.showing.report import print_export
    from fer_edge.export.source import newest_run

    run = run or newest_run()
    others = {"--explain": explain, "--report": report, "--head": head, "--target": target}
    others |= {"--float16": float16, "--dynamic": dynamic, "--recalibrate-bn": recalibrate_bn}
    others |= {"--slim": slim, "--no-balance": not balance, "--no-ladder": not ladder}
    unfit = [name for name, given in others.items() if given]
    folder = output or Path("bundles")
    with _findings_of_a_refusal(as_json=as_json):
        if _export_detector(
            run, limits, data, folder, calibration, ranges, unfit, replace=replace, as_json=as_json
        ):
            return
    if calibration is None:
        calibration = IMAGES
    if explain:
        from fer_edge.export.showing.plots import layers_plot
        from fer_edge.plots import save_png

        if plot:
            check_writable(plot.parent, "--plot")
        found = explain_run(
            run,
            data=data,
            head=head,
            calibration=calibration,
            balance=balance,
            ranges=ranges,
            recalibrate_bn=recalibrate_bn,
            say=lambda line: typer.echo(line, err=True),
        )
        if plot:
            save_png(layers_plot(found), plot)
        print_explanation(found, as_json=as_json)
        return
    with _findings_of_a_refusal(as_json=as_json):
        result = export_run(
            run,
            budget=limits,
            data=data,
            head=head,
            output=folder,
            calibration=calibration,
            balance=balance,
            ranges=ranges,
            ladder=ladder,
            formats=chosen,
            target=board,
            recalibrate_bn=recalibrate_bn,
            report=report,
            replace=replace,
            say=lambda line: typer.echo(line, err=True),
        )
    print_export(result, as_json=as_json)


@contextmanager
def _findings_of_a_refusal(*, as_json: bool) -> Iterator[None]:
    """Print what a refused export found out, for programs."""
    from fer_edge.export.findings import Refusal
    from fer_edge.files import json_text

    try:
        yield
    except Refusal as refusal:
        if as_json:
            typer.echo(json_text(refusal.findings))
        raise


def _export_detector(
    run: Path,
    limits: Budget,
    data: str | None,
    output: Path,
    calibration: int | None,
    ranges: str,
    unfit: list[str],
    *,
    replace: bool,
    as_json: bool,
) -> bool:
    """Export a detector's run; False where it is another kind of run."""
    from fer_edge.subject import task_of

    if task_of(run) != "detect":
        return False
    if unfit:
        raise FerEdgeError(
            f"{run} is a face detector's run, for which there is no {unfit[0]}", "leave it out"
        )
    from fer_edge.export.detection.exporting import export_detector, print_detector_export

    result = export_detector(
        run,
        budget=limits,
        data=data,
        output=output,
        calibration=FRAMES if calibration is None else calibration,
        ranges=ranges,
        replace=replace,
        say=lambda line: typer.echo(line, err=True),
    )
    print_detector_export(result, as_json=as_json)
    return True
