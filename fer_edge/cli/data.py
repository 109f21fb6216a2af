"""``fer-edge data``: look at a dataset, find its leaks, pack it, draw one, crop photos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fer_edge.cli.options import Detector, MinFace, SkipBad

data_app = typer.Typer(
    help="Look at a dataset, find its leaks, pack it, draw one, crop photos.\n\n"
    "Example: [bold]fer-edge data audit fer2013.tar.gz[/]",
    no_args_is_help=True,
)

_DatasetPath = Annotated[
    str, typer.Argument(metavar="PATH", help="A dataset's file, archive or folder, or 'synthetic'.")
]
_Votes = Annotated[
    Path | None,
    typer.Option("--votes", help="FER+'s fer2013new.csv, or the folder or archive it lies in."),
]
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@data_app.command()
def inspect(
    path: _DatasetPath,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="Draw a contact sheet into this PNG.")
    ] = None,
    votes: _Votes = None,
    skip_bad: SkipBad = False,
    as_json: _AsJson = False,
) -> None:
    """Count a dataset's faces by split and label.

    Example: [bold]fer-edge data inspect fer2013.csv --sheet faces.png[/]
    """
    from fer_edge.data import load_dataset
    from fer_edge.data.report import print_summary
    from fer_edge.data.summary import summarise, write_contact_sheet

    dataset = load_dataset(path, skip_bad=skip_bad, votes=votes, own_labels=True)
    if sheet is not None:
        write_contact_sheet(dataset, sheet)
    print_summary(summarise(dataset), as_json=as_json, **({"sheet": str(sheet)} if sheet else {}))


@data_app.command()
def audit(
    path: _DatasetPath,
    near: Annotated[bool, typer.Option(help="Look for near duplicates, the slow part.")] = True,
    skip_bad: SkipBad = False,
    as_json: _AsJson = False,
) -> None:
    """Find duplicates, contradicting labels and leaks across splits.

    Example: [bold]fer-edge data audit fer2013.csv[/]
    """
    from fer_edge.data import load_dataset
    from fer_edge.data.audit import audit as audit_dataset
    from fer_edge.data.report import print_audit

    dataset = load_dataset(path, skip_bad=skip_bad, own_labels=True)
    print_audit(audit_dataset(dataset, near=near), as_json=as_json)


@data_app.command()
def pack(
    path: _DatasetPath,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write, *.npz.")],
    votes: _Votes = None,
    skip_bad: SkipBad = False,
    as_json: _AsJson = False,
) -> None:
    """Write a dataset into one small file, lossless, for a thin pipe to a GPU host.

    Example: [bold]fer-edge data pack fer2013.csv -o fer2013.npz[/]
    """
    from fer_edge.data import load_dataset
    from fer_edge.data.packed import write_packed
    from fer_edge.data.report import print_summary
    from fer_edge.data.summary import summarise

    dataset = load_dataset(path, skip_bad=skip_bad, votes=votes, own_labels=True)
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


@data_app.command()
def crop(
    photos: Annotated[
        Path, typer.Argument(metavar="PHOTOS", help="A folder or archive, as LABEL/*.jpg.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")],
    detector: Detector = None,
    min_face: MinFace = 0.15,
    as_json: _AsJson = False,
) -> None:
    """Cut the faces out of photos as a device does, into the same folders, to train on.

    Example: [bold]fer-edge data crop my-photos -o my-faces[/]
    """
    from fer_edge.cropping import crop_photos, print_cropped
    from fer_edge.device.detectors import open_detector
    from fer_edge.device.sources.images import Pictures

    finder = open_detector(detector, min_face=min_face)
    done = crop_photos(photos, Pictures(photos), finder, output)
    if as_json:
        print(json.dumps(done.to_dict(), indent=2))
    else:
        print_cropped(done)


@data_app.command()
def faces(
    photos: Annotated[Path, typer.Argument(help="Photos of people, a zip or a folder.")],
    yunet: Annotated[Path, typer.Option("--yunet", help="YuNet's ONNX file.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The CSV, replaced.", show_default="beside the photos"),
    ] = None,
) -> None:
    """Label photos with faces' boxes and landmarks, to train a detector on.

    Example: [bold]fer-edge data faces photos.zip --yunet face_detection_yunet.onnx[/]
    """
    from fer_edge.data.detection.labelling import label_photos, print_labelled

    print_labelled(label_photos(photos, yunet, output))
