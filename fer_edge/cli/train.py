"""``fer-edge train``, ``reproduce`` and ``evaluate``."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from fer_edge.chatter import import_keras
from fer_edge.cli.models import by_name, text_by_name
from fer_edge.cli.options import SkipBad
from fer_edge.errors import FerEdgeError, require_extra


class Executor(Enum):
    """Where reproduce trains."""

    LOCAL = "local"
    RAY = "ray"


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(help="A shipped recipe's name or a TOML file.", show_default="edge-small"),
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", help="A dataset's path, or 'synthetic'.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Run folder.", show_default="runs/NAME")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            callback=text_by_name,
            help="Fine-tune the network of a run folder, bundle, shipped model or .keras file.",
        ),
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="Change a key: --set fit.epochs=5.")
    ] = None,
    drop_leaks: Annotated[
        bool,
        typer.Option("--drop-leaks", help="Leave out training images that stand in other splits."),
    ] = False,
    skip_bad: SkipBad = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was cut off.")
    ] = False,
    devices: Annotated[
        str,
        typer.Option("--devices", help="To share each batch: 'all', a number, or gpu:0,gpu:2."),
    ] = "all",
    recipes: Annotated[
        bool, typer.Option("--recipes", help="List the shipped recipes and stop.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print metrics.json at the end.")] = False,
) -> None:
    """Train a network by a recipe, or a finished one on other faces; the result is a run folder.

    With --from, pictures in folders my-faces/LABEL may have labels of your own.

    Example: [bold]fer-edge train triwijoyo --data fer2013.csv[/]
    Example: [bold]fer-edge train --from edge-small --data my-faces[/]
    """
    if recipes:
        require_extra("pydantic", "train")
        require_extra("tomli_w", "train")
        from fer_edge.train.report import print_recipes

        print_recipes()
        return
    import_keras()
    from fer_edge.train.report import print_run
    from fer_edge.train.run import train as train_run

    run = train_run(
        recipe,
        data,
        output=output,
        overrides=setting or (),
        drop_leaks_too=drop_leaks,
        skip_bad=skip_bad,
        resume=resume,
        devices=devices,
        start=start,
    )
    print_run(run, as_json=as_json)
    if run.interrupted:
        raise typer.Exit(130)


def reproduce(
    papers: Annotated[
        list[str] | None,
        typer.Argument(help="triwijoyo, mondal, kusno, kumar, or recipes.", show_default="all"),
    ] = None,
    data: Annotated[
        list[str] | None, typer.Option("--data", help="FER2013 and CK+48; may be repeated.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the run folders.")
    ] = Path("runs/reproduce"),
    report: Annotated[
        Path, typer.Option("--report", help="Folder of RESULTS.md, results.json and figures.")
    ] = Path("train"),
    epochs_scale: Annotated[
        float, typer.Option("--epochs-scale", help="Run so much of each recipe's epochs.")
    ] = 1.0,
    jobs: Annotated[int, typer.Option("--jobs", help="Trainings at a time.")] = 1,
    executor: Annotated[
        Executor, typer.Option("--executor", help="This machine, or a Ray cluster.")
    ] = Executor.LOCAL,
    resume: Annotated[
        bool, typer.Option(help="Go on with runs that were cut off, or start them anew.")
    ] = True,
    export: Annotated[
        bool, typer.Option("--export", help="Export every network through the gate as well.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what there is to do, and stop.")
    ] = False,
) -> None:
    """Train the papers' networks by their recipes; set what was reported beside what is measured.

    Finished runs are skipped and cut-off ones go on, so the same command may be given again. What
    the report has as finished elsewhere is skipped as well, unless its recipe is named.

    Example: [bold]fer-edge reproduce kusno --data CK+48.zip --data fer2013.tar.gz[/]
    """
    import_keras()
    from fer_edge.train.reproduce import Options
    from fer_edge.train.reproduce import reproduce as reproduce_papers

    reproduce_papers(
        Options(
            papers=papers or (),
            data=data or (),
            runs=output,
            report=report,
            epochs_scale=epochs_scale,
            jobs=jobs,
            executor=executor.value,
            resume=resume,
            export=export,
            dry_run=dry_run,
        )
    )


def evaluate(
    model: Annotated[
        Path,
        typer.Argument(
            callback=by_name,
            help="Run folder, bundle, shipped model's name, or .keras, .tflite or .onnx file.",
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option("--data", help="A dataset's path, or 'synthetic'.", show_default="the run's"),
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option("--split", help="Held-out split; may be repeated.", show_default="the run's"),
    ] = None,
    head: Annotated[
        str | None,
        typer.Option("--head", help="Of a run with several.", show_default="the first"),
    ] = None,
    votes: Annotated[
        bool | None,
        typer.Option(
            "--votes/--labels",
            help="Against the majority of FER+'s votes, or against the labels.",
            show_default="what the model has learned",
        ),
    ] = None,
    shared_labels: Annotated[
        bool,
        typer.Option(
            "--shared-labels",
            help="Of a model trained on other labels: only faces whose labels both have.",
        ),
    ] = False,
    robustness: Annotated[
        bool,
        typer.Option(
            "--robustness",
            help="Accuracy under blur, noise, rotation and so on.",
        ),
    ] = False,
    skip_bad: SkipBad = False,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Draw the confusion matrix, or precision over recall, as PNG."),
    ] = None,
    backgrounds: Annotated[
        list[str] | None,
        typer.Option("--backgrounds", help="Of a detector: folder of photographs without faces."),
    ] = None,
    frames: Annotated[
        int | None, typer.Option("--frames", min=1, help="Of a detector: frames with faces.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
) -> None:
    """Measure a model on the held-out split, and on its part that training never saw.

    A detector is measured on frames composed of the held-out photos.

    Example: [bold]fer-edge evaluate edge-small --data fer2013.csv[/]
    Example: [bold]fer-edge evaluate edge-small --data fer2013.csv --robustness[/]
    Example: [bold]fer-edge evaluate edge-small --data CK+48.zip --shared-labels[/]
    """
    from fer_edge.subject import finished_metrics, task_of

    if plot:
        check_png(plot)
        require_extra("matplotlib", "train")
    if (model / "model.keras").is_file() and finished_metrics(model) is None:
        typer.echo(f"note: {model} is not finished, so its figures are not final", err=True)
    of_classifiers = {
        "--head": head,
        "--votes": votes,
        "--labels": votes is False,
        "--shared-labels": shared_labels,
        "--robustness": robustness,
        "--skip-bad": skip_bad,
    }
    of_detectors = {"--backgrounds": backgrounds, "--frames": frames}
    if task_of(model) == "detect":
        _refuse_unfit(f"{model} is a face detector", of_classifiers)
        from fer_edge.evaluation.detector import evaluate_detector, print_detectors

        matches = evaluate_detector(model, data, split or (), backgrounds, frames)
        print_detectors(matches, as_json=as_json, plot=plot)
        return
    _refuse_unfit(f"{model} names expressions", of_detectors)
    options: dict[str, Any] = {
        "head": head,
        "votes": votes,
        "shared_labels": shared_labels,
        "skip_bad": skip_bad,
    }
    if robustness:
        if plot:
            raise FerEdgeError("--plot draws the confusion matrix", "leave out --robustness")
        from fer_edge.evaluation.robustness import print_robustness, robustness_path

        found = robustness_path(model, data, split or (), **options)
        print_robustness(found, as_json=as_json)
        return
    from fer_edge.evaluation.classifier import evaluate_path, plot_confusion, print_evaluation

    result = evaluate_path(model, data, split or (), **options)
    print_evaluation(result, as_json=as_json)
    if plot:
        title = f"{model} on {', '.join(result.splits)}: {result.whole.accuracy.value:.1%}"
        plot_confusion(result.whole, title, plot)


def _refuse_unfit(what: str, options: Mapping[str, object]) -> None:
    """FerEdgeError where one of the options is given that a model of another kind takes."""
    if unfit := [name for name, value in options.items() if value]:
        raise FerEdgeError(f"{what}, for which there is no {unfit[0]}", "leave it out")


def check_png(plot: Path) -> None:
    """FerEdgeError where a plot's name says that it is something else than a PNG."""
    if plot.suffix.lower() not in ("", ".png"):
        raise FerEdgeError(f"a plot is called *.png, got '{plot.name}'", "choose such a name")
