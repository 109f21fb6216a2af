"""Recordings as browsers and phones make them: frames at uneven times, no rate in the header."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

_SEGMENT, _INFO, _TRACKS, _TRACK, _CLUSTER = 0x18538067, 0x1549A966, 0x1654AE6B, 0xAE, 0x1F43B675
_DURATION, _FRAME_DURATION, _CLUSTER_TIME, _BLOCK, _VOID = 0x4489, 0x23E383, 0xE7, 0xA3, 0xEC


def record(
    path: Path, pictures: Iterable[np.ndarray], milliseconds: Sequence[int], *, length: bool
) -> None:
    """Write a WebM file as a browser does.

    Args:
        path: ends in .webm.
        pictures: (H, W, 3) uint8, blue first.
        milliseconds: when each was taken, from 0, less than 30 s.
        length: whether the header says how long it is; a browser that records does not know it.
    """
    writer = None
    for picture in pictures:
        if writer is None:
            codec, size = cv2.VideoWriter.fourcc(*"VP80"), (picture.shape[1], picture.shape[0])
            writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, codec, 25, size)
        writer.write(picture)
    writer.release()
    _retime(path, milliseconds, length=length)


def _retime(path: Path, milliseconds: Sequence[int], *, length: bool) -> None:
    """Give the frames other times, and the header no rate."""
    data = bytearray(path.read_bytes())
    times, cluster = iter(milliseconds), 0
    for name, start, content, end in _elements(data, 0, len(data)):
        if name == _CLUSTER_TIME:
            cluster = int.from_bytes(data[content:end], "big")
        elif name == _BLOCK:  # track, time within the cluster, flags
            data[content + 1 : content + 3] = (next(times) - cluster).to_bytes(
                2, "big", signed=True
            )
        elif name == _FRAME_DURATION or (name == _DURATION and not length):
            data[start : start + 2] = bytes([_VOID, 0x80 | (end - start - 2)])
    path.write_bytes(data)


def _elements(data: bytearray, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Each element's name, where it starts, where its content does, and where that ends."""
    while at < end:
        start = at
        width = 9 - data[at].bit_length()
        name, at = int.from_bytes(data[at : at + width], "big"), at + width
        width = 9 - data[at].bit_length()
        size = int.from_bytes(data[at : at + width], "big") & ((1 << 7 * width) - 1)
        at += width
        yield name, start, at, at + size
        if name in (_SEGMENT, _INFO, _TRACKS, _TRACK, _CLUSTER):
            yield from _elements(data, at, at + size)
        at += size
