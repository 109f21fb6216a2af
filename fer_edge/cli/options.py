"""Options that more than one command has, so that they mean the same in each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Images = Annotated[
    Path | None,
    typer.Option(
        "--images", help="A picture, or a folder or an archive (.zip, .tar, .tar.gz) of pictures."
    ),
]

Detector = Annotated[
    str | None,
    typer.Option(
        "--detector",
        metavar="haar|yunet|own|FILE",
        help="What finds faces; FILE is a .fer (our own), .tflite (BlazeFace, SSD), "
        ".onnx (YuNet) or .xml.",
        show_default="own where it ships, else yunet where it was got, else haar",
    ),
]

DetectEvery = Annotated[
    int,
    typer.Option("--detect-every", metavar="N", help="Detect in every N-th frame, track between."),
]

MinFace = Annotated[
    float,
    typer.Option("--min-face", help="Smallest face, as a share of the frame's shorter side."),
]

SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out bad rows and count them.")]

Keys = Annotated[
    list[Path] | None,
    typer.Option(
        "--key",
        help="Public key (.pub) that must have signed a bundle; may be repeated.",
        show_default="those configured",
    ),
]
