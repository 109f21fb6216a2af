"""The command line: each command is a few lines that call one function of one stage.

Nothing heavy is imported here, so that ``--help`` answers at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from fer_edge import __version__
from fer_edge.chatter import import_keras
from fer_edge.errors import FerEdgeError, require_extra

app = typer.Typer(
    name="fer-edge",
    help="Facial expression recognition for embedded devices: train, quantize with proof, run.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fer-edge {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Version.")
    ] = False,
) -> None:
    pass


# --- data ---------------------------------------------------------------------------------------


data_app = typer.Typer(
    help="Look at a dataset, find its leaks, pack it, draw a synthetic one.\n\n"
    "Example: [bold]fer-edge data audit fer2013.tar.gz[/]",
    no_args_is_help=True,
)
app.add_typer(data_app, name="data")

_DatasetPath = Annotated[
    str, typer.Argument(metavar="PATH", help="A dataset's file, archive or folder, or 'synthetic'.")
]
_SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out bad rows and count them.")]
_Votes = Annotated[
    Path | None, typer.Option("--votes", help="FER+'s fer2013new.csv, to be joined by row.")
]
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@data_app.command()
def inspect(
    path: _DatasetPath,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="Draw a contact sheet into this PNG.")
    ] = None,
    votes: _Votes = None,
    skip_bad: _SkipBad = False,
    as_json: _AsJson = False,
) -> None:
    """Count a dataset's faces by split and label.

    Example: [bold]fer-edge data inspect fer2013.csv --sheet faces.png[/]
    """
    from fer_edge.data import load_dataset
    from fer_edge.data.report import print_summary
    from fer_edge.data.summary import summarise, write_contact_sheet

    dataset = load_dataset(path, skip_bad=skip_bad, votes=votes)
    if sheet is not None:
        write_contact_sheet(dataset, sheet)
    print_summary(summarise(dataset), as_json=as_json, **({"sheet": str(sheet)} if sheet else {}))


@data_app.command()
def audit(
    path: _DatasetPath,
    near: Annotated[bool, typer.Option(help="Look for near duplicates, the slow part.")] = True,
    skip_bad: _SkipBad = False,
    as_json: _AsJson = False,
) -> None:
    """Find duplicates, contradicting labels and leaks across splits.

    Example: [bold]fer-edge data audit fer2013.csv[/]
    """
    from fer_edge.data import load_dataset
    from fer_edge.data.audit import audit as audit_dataset
    from fer_edge.data.report import print_audit

    print_audit(audit_dataset(load_dataset(path, skip_bad=skip_bad), near=near), as_json=as_json)


@data_app.command()
def pack(
    path: _DatasetPath,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write, *.npz.")],
    votes: _Votes = None,
    skip_bad: _SkipBad = False,
    as_json: _AsJson = False,
) -> None:
    """Write a dataset into one small file, lossless, for a thin pipe to a GPU host.

    Example: [bold]fer-edge data pack fer2013.csv -o fer2013.npz[/]
    """
    from fer_edge.data import load_dataset
    from fer_edge.data.packed import write_packed
    from fer_edge.data.report import print_summary
    from fer_edge.data.summary import summarise

    dataset = load_dataset(path, skip_bad=skip_bad, votes=votes)
    write_packed(dataset, output)
    facts = {"file": str(output), "bytes": output.stat().st_size}
    print_summary(summarise(dataset), as_json=as_json, **facts)


@data_app.command()
def synth(
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write, *.npz.")],
    faces: Annotated[int, typer.Option("--faces", "-n", help="How many to draw.")] = 4000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same faces.")] = 0,
    as_json: _AsJson = False,
) -> None:
    """Draw a synthetic dataset and pack it.

    Example: [bold]fer-edge data synth -o faces.npz --faces 10000 --seed 1[/]
    """
    from fer_edge.data.packed import write_packed
    from fer_edge.data.report import print_summary
    from fer_edge.data.summary import summarise
    from fer_edge.data.synthetic import synthetic_faces

    dataset = synthetic_faces(faces, seed)
    write_packed(dataset, output)
    facts = {"file": str(output), "bytes": output.stat().st_size}
    print_summary(summarise(dataset), as_json=as_json, **facts)


# --- train --------------------------------------------------------------------------------------


@app.command()
def train(
    recipe: Annotated[
        str | None,
        typer.Argument(help="A shipped recipe's name or a TOML file.", show_default="triwijoyo"),
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", help="A dataset's path, or 'synthetic'.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Run folder.", show_default="runs/NAME")
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="Change a key: --set fit.epochs=5.")
    ] = None,
    drop_leaks: Annotated[
        bool,
        typer.Option("--drop-leaks", help="Leave out training images that stand in other splits."),
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out bad rows and count them.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was cut off.")
    ] = False,
    recipes: Annotated[
        bool, typer.Option("--recipes", help="List the shipped recipes and stop.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print metrics.json at the end.")] = False,
) -> None:
    """Train a network by a recipe; the result is a run folder.

    Example: [bold]fer-edge train triwijoyo --data fer2013.csv[/]
    """
    if recipes:
        require_extra("pydantic", "train")
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
    )
    print_run(run, as_json=as_json)
    if run.interrupted:
        raise typer.Exit(130)


# --- evaluate and export ------------------------------------------------------------------------


@app.command()
def evaluate(
    model: Annotated[
        Path, typer.Argument(help="Run folder, bundle, or .keras, .tflite or .onnx file.")
    ],
    data: Annotated[
        str | None,
        typer.Option("--data", help="A dataset's path, or 'synthetic'.", show_default="the run's"),
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option("--split", help="Held-out split; may be repeated.", show_default="the run's"),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw the confusion matrix as PNG.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
) -> None:
    """Measure a model on the held-out split, and on its part that training never saw.

    Example: [bold]fer-edge evaluate bundles/triwijoyo.fer --data fer2013.csv[/]
    """
    if plot:
        require_extra("matplotlib", "train")
    from fer_edge.evaluate import evaluate_path, plot_confusion, print_evaluation

    result = evaluate_path(model, data, split or ())
    print_evaluation(result, as_json=as_json)
    if plot:
        title = f"{model} on {', '.join(result.splits)}: {result.whole.accuracy.value:.1%}"
        plot_confusion(result.whole, title, plot)


@app.command()
def export(
    run: Annotated[
        Path | None, typer.Argument(help="Run folder.", show_default="the newest in ./runs")
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Quantize to int8, through the gate, into a bundle.")
    ] = False,
    data: Annotated[
        str | None, typer.Option("--data", help="The dataset's path.", show_default="the run's")
    ] = None,
    budget: Annotated[
        Path | None, typer.Option("--budget", help="What int8 may lose, as TOML.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the bundle.")] = Path(
        "bundles"
    ),
    calibration: Annotated[
        int, typer.Option("--calibration", help="Training images for the quantizers.", min=1)
    ] = 350,
    slim: Annotated[
        bool, typer.Option("--slim", help="Ship the int8 TFLite alone, without float and ONNX.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
) -> None:
    """Turn a run into int8 TFLite and ONNX; refuse if accuracy fell against the float model.

    Example: [bold]fer-edge export runs/triwijoyo --int8[/]
    """
    if not int8:
        raise FerEdgeError(
            "a bundle holds an int8 model", "say so with: fer-edge export RUN --int8"
        )
    for module in ("pydantic", "ai_edge_litert", "cv2", "onnxruntime", "tensorflow", "tf2onnx"):
        require_extra(module, "export")
    from fer_edge.export.budget import load_budget

    limits = load_budget(budget)
    # the converters are TensorFlow's, whatever the network was trained on
    import_keras(backend="tensorflow")
    from fer_edge.export.exporter import export as export_run
    from fer_edge.export.report import print_export
    from fer_edge.export.source import newest_run

    result = export_run(
        run or newest_run(),
        budget=limits,
        data=data,
        output=output,
        calibration=calibration,
        slim=slim,
        say=lambda line: typer.echo(line, err=True),
    )
    print_export(result, as_json=as_json)


# --- device -------------------------------------------------------------------------------------


class _RunCommand(typer.core.TyperCommand):
    """Lets ``--camera`` stand without a number, for camera 0."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        filled = []
        for place, arg in enumerate(args):
            bare = arg == "--camera" and not "".join(args[place + 1 : place + 2]).isdigit()
            filled.append("--camera=0" if bare else arg)
        return super().parse_args(ctx, filled)


@app.command(cls=_RunCommand)
def run(
    bundle: Annotated[
        Path | None,
        typer.Argument(
            help="A bundle (.fer); a bare .tflite or .onnx runs too, unproven.",
            show_default="the newest in ./bundles or here",
        ),
    ] = None,
    camera: Annotated[
        int | None,
        typer.Option("--camera", metavar="[N]", min=0, help="A camera; 0 if no number follows."),
    ] = None,
    video: Annotated[Path | None, typer.Option("--video", help="A video file.")] = None,
    images: Annotated[Path | None, typer.Option("--images", help="A folder of pictures.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Events as JSON lines on standard output.")
    ] = False,
    every_frame: Annotated[
        bool, typer.Option("--every-frame", help="A JSON line for frames without a face as well.")
    ] = False,
    save: Annotated[
        Path | None, typer.Option("--save", help="Write an annotated video (.mp4, .avi, .mkv).")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Show a window; q closes it.")] = False,
    max_frames: Annotated[
        int | None, typer.Option("--max-frames", help="Stop after so many frames.")
    ] = None,
    min_face: Annotated[
        float,
        typer.Option("--min-face", help="Smallest face, as a share of the frame's shorter side."),
    ] = 0.15,
    threads: Annotated[int, typer.Option("--threads", help="Threads of one inference.")] = 1,
) -> None:
    """Find faces in a camera, a video or pictures; name their expressions; time every stage.

    The bundle proves itself on this machine first: checksums, then its golden set.
    Ctrl-C ends the run properly: summary printed, video finished, exit code 130.

    [bold]Example:[/] fer-edge run bundles/triwijoyo.fer --video clip.mp4 --save annotated.mp4
    """
    from fer_edge.device.run import RunOptions
    from fer_edge.device.run import run as run_device

    options = RunOptions(
        bundle=bundle,
        video=video,
        images=images,
        camera=camera,
        threads=threads,
        min_face=min_face,
        max_frames=max_frames,
        save=save,
        show=show,
        json=as_json,
        every_frame=every_frame,
    )
    raise typer.Exit(run_device(options))


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Say what this machine has, what it lacks, and how to get it.

    [bold]Example:[/] fer-edge doctor
    """
    from fer_edge.device.doctor import print_findings

    print_findings(as_json=as_json)


# --- all of it ----------------------------------------------------------------------------------


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for what is made.")] = Path(
        "demo"
    ),
) -> None:
    """Show the whole pipeline, small: nothing to download, under two minutes.

    Example: [bold]fer-edge demo[/]
    """
    from fer_edge.demo import run_demo

    run_demo(output)


def main() -> None:
    """Run the command line; a FerEdgeError becomes one line and its exit code."""
    try:
        app()
    except FerEdgeError as error:
        print(f"fer-edge: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"  → {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
