"""One picture becomes one face, or a reason why not."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from fer_edge.chatter import silenced_if_alone
from fer_edge.data.headers import stated_size
from fer_edge.errors import require_extra
from fer_edge.face import FACE_SIZE, CropRule, Pixels, crop_face

SMALLEST_SIDE = FACE_SIZE // 2
"""Pixels; enlarging a smaller picture more than twofold would invent a face."""

LONGEST_OVER_SHORTEST = 1.5
"""A picture further from a square is not a cropped face."""

MAX_BYTES = 32 << 20
_MAX_PIXELS = 64_000_000

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_WHOLE_PICTURE = CropRule("whole picture")


class OblongError(ValueError):
    """A picture too long for its width to be that of a cropped face."""


def read_gray(data: bytes) -> Pixels:
    """The gray plane of a picture of one cropped face, (H, W) uint8.

    Colour becomes ITU-R 601 luma; Exif orientation is applied.

    Raises:
        OblongError: it is too oblong.
        ValueError: no picture of a kind in ``fer_edge.files.PICTURES``, damaged, truncated, too
            small or too large.
        FerEdgeError: OpenCV is not installed.
    """
    _check_size(*_check(data))
    return _decoded(data)


def decode(data: bytes, *, colour: bool = False) -> Pixels:
    """A picture's gray plane, (H, W) uint8, or (H, W, 3) in colour, blue first.

    Raises:
        ValueError: no picture of a kind in ``fer_edge.files.PICTURES``, damaged or truncated.
        FerEdgeError: OpenCV is not installed.
    """
    _check(data)
    return _decoded(data, colour=colour)


def as_face(gray: Pixels) -> Pixels:
    """A picture of one cropped face as (48, 48) uint8.

    A 48×48 picture is taken pixel by pixel. Another size goes through the crop rule with the whole
    picture as the face box: area-averaged when shrinking, linear when enlarging, and made square
    by repeating its border.

    Raises:
        FerEdgeError: it is of another size, and OpenCV is not installed.
    """
    if gray.shape == (FACE_SIZE, FACE_SIZE):
        return gray
    require_extra("cv2", "device")
    rows, columns = gray.shape
    return crop_face(gray, (0, 0, columns, rows), _WHOLE_PICTURE)


def _check_size(width: int, height: int) -> None:
    if min(width, height) < SMALLEST_SIDE:
        raise ValueError(f"{width}×{height} pixels, under {SMALLEST_SIDE} on a side")
    if max(width, height) > LONGEST_OVER_SHORTEST * min(width, height):
        raise OblongError(f"{width}×{height} pixels, too oblong for a cropped face")
    if width * height > _MAX_PIXELS:
        raise ValueError(f"{width}×{height} pixels, too many")


def _decoded(data: bytes, *, colour: bool = False) -> Pixels:
    require_extra("cv2", "device")
    import cv2

    kind = cv2.IMREAD_COLOR if colour else cv2.IMREAD_GRAYSCALE
    with silenced_if_alone():  # the decoders print their complaints themselves
        try:
            picture: Pixels | None = cv2.imdecode(np.frombuffer(data, np.uint8), kind)
        except cv2.error:  # of more pixels than OpenCV takes
            picture = None
    if picture is None:
        raise ValueError("the picture cannot be decoded")
    return picture


def _check(data: bytes) -> tuple[int, int]:
    """Width and height of a picture that is undamaged where it is a JPEG or PNG.

    These two's decoders fill up what a truncated file lacks and say nothing, so it is looked for
    here; those of the others notice it.
    """
    if not data:
        raise ValueError("an empty file")
    if data.startswith(_PNG):
        return _check_png(data)
    if data.startswith(_JPEG):
        return _check_jpeg(data)
    if (size := stated_size(data)) is not None:
        return size
    raise ValueError("no picture: neither JPEG, PNG, BMP, WebP, TIFF, PGM nor PPM")


def _check_png(data: bytes) -> tuple[int, int]:
    position = len(_PNG)
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            break
        checksum = struct.unpack_from(">I", data, end)[0]
        if zlib.crc32(data[position + 4 : end]) != checksum:
            raise ValueError("a damaged PNG: a checksum is wrong")
        if kind == b"IEND":
            return struct.unpack_from(">II", data, len(_PNG) + 8)
        position = end + 4
    raise ValueError("a truncated PNG")


def _check_jpeg(data: bytes) -> tuple[int, int]:
    position, size, end = 2, None, 0
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xDA:
            end = position
            break
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, position + 5)
            size = width, height
        if marker == 0xFF:
            position += 1
            continue
        position += 2 + struct.unpack_from(">H", data, position + 2)[0]
    # no scan has the end's marker in it; behind the end phones put films and depth maps
    if data.find(b"\xff\xd9", end) < 0:
        raise ValueError("a truncated JPEG")
    if size is not None and end:
        return size
    raise ValueError("a damaged JPEG: it has no frame header")
