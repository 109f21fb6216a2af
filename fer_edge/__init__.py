"""Facial expression recognition for embedded devices: train, quantize with proof, run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fer_edge.device.results import Results

__version__ = "0.1.0"


def open(
    bundle: Path | str | None = None,
    *,
    camera: int | str | None = None,
    video: Path | str | None = None,
    images: Path | str | None = None,
    detector: str | None = None,
    min_face: float = 0.15,
    detect_every: int = 10,
    smoothing: float = 0.2,
    min_confidence: float | None = None,
    threads: int = 1,
    keys: Sequence[Path | str] = (),
) -> Results:
    """Name the expressions in one source of frames; the options are those of ``fer-edge run``.

    Nothing is imported, and no file read, before this is called.

    Args:
        bundle: a ``.fer`` file, a shipped model's name, a folder of installed bundles or a bare
            model; None takes what ``fer-edge run`` takes.
        camera: its number, its node or its address.
        video: a video file.
        images: a picture, or a folder or an archive of pictures.
        detector: what finds faces.
        min_face: smallest face, as a share of the frame's shorter side.
        detect_every: frames from one detection to the next.
        smoothing: of expressions over time, in seconds; 0 does not smooth.
        min_confidence: less probable expressions are called uncertain; None takes the bundle's.
        threads: of one inference, at most as many as there are cores.
        keys: public keys of which one must have signed the bundle; none takes those configured.

    Returns:
        What is to be opened by ``with``, and gives a ``fer_edge.device.pipeline.Result`` for every
        frame. A frame's pixels are valid until the next one is asked for. Its ``close``, which any
        thread may call, ends the iteration.

    Raises:
        FerEdgeError: bad input, or a machine that lacks something; when it is opened or read, too.

    Example:
        >>> with fer_edge.open("edge-small", images="face.jpg") as results:
        ...     for result in results:
        ...         print([face.label for face in result.faces])
    """
    from fer_edge.device.results import Results
    from fer_edge.device.run import RunOptions
    from fer_edge.device.smoothing import Smoothing
    from fer_edge.shipped import find_shipped

    return Results(
        RunOptions(
            bundle=None if bundle is None else find_shipped(Path(bundle)),
            camera=None if camera is None else str(camera),
            video=None if video is None else Path(video),
            images=None if images is None else Path(images),
            detector=detector,
            min_face=min_face,
            detect_every=detect_every,
            smoothing=Smoothing(time_constant=smoothing, min_confidence=min_confidence),
            threads=threads,
            keys=tuple(Path(key) for key in keys),
        )
    )
