"""One JPEG or PNG becomes one face, or a reason why not."""

from __future__ import annotations

import importlib.util
import io
import struct
import zlib

import numpy as np

from fer_edge.errors import require_extra
from fer_edge.face import FACE_SIZE, CropRule, crop_face

SUFFIXES = (".jpg", ".jpeg", ".png")

SMALLEST_SIDE = FACE_SIZE // 2
"""Pixels; enlarging a smaller picture more than twofold would invent a face."""

LONGEST_OVER_SHORTEST = 1.5
"""A picture further from a square is not a cropped face."""

MAX_BYTES = 32 << 20
_MAX_PIXELS = 64_000_000

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_WHOLE_PICTURE = CropRule("whole picture")


def decode_face(data: bytes) -> np.ndarray:
    """A picture of one cropped face as (48, 48) uint8 grayscale.

    A 48×48 picture is taken pixel by pixel. Another size goes through the crop rule with the whole
    picture as the face box: area-averaged when shrinking, linear when enlarging, and made square
    by repeating its border. Colour becomes ITU-R 601 luma; Exif orientation is applied.

    Raises:
        ValueError: neither JPEG nor PNG, damaged, truncated, too small, too large or too oblong.
        FerEdgeError: no decoder is installed (OpenCV or Pillow).
    """
    width, height = _check(data)
    if min(width, height) < SMALLEST_SIDE:
        raise ValueError(f"{width}×{height} pixels, under {SMALLEST_SIDE} on a side")
    if max(width, height) > LONGEST_OVER_SHORTEST * min(width, height):
        raise ValueError(f"{width}×{height} pixels, too oblong for a cropped face")
    if width * height > _MAX_PIXELS:
        raise ValueError(f"{width}×{height} pixels, too many")
    gray = _decode_gray(data)
    if gray.shape == (FACE_SIZE, FACE_SIZE):
        return gray
    require_extra("cv2", "device")
    rows, columns = gray.shape
    return crop_face(gray, (0, 0, columns, rows), _WHOLE_PICTURE)


def _decode_gray(data: bytes) -> np.ndarray:
    if importlib.util.find_spec("cv2") is None:
        return _decode_gray_with_pillow(data)
    import cv2

    gray = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    if gray is None:
        raise ValueError("the picture cannot be decoded")
    return np.asarray(gray)


def _decode_gray_with_pillow(data: bytes) -> np.ndarray:
    require_extra("PIL", "train")
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.array(ImageOps.exif_transpose(image).convert("L"))
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError("the picture cannot be decoded") from error


def _check(data: bytes) -> tuple[int, int]:
    """Width and height of an undamaged picture.

    Decoders fill up what a truncated file lacks and say nothing, so it is looked for here.
    """
    if not data:
        raise ValueError("an empty file")
    if data.startswith(_PNG):
        return _check_png(data)
    if data.startswith(_JPEG):
        return _check_jpeg(data)
    raise ValueError("neither JPEG nor PNG")


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
    if b"\xff\xd9" not in data[-1024:]:
        raise ValueError("a truncated JPEG")
    position = 2
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, position + 5)
            return width, height
        if marker == 0xFF:
            position += 1
            continue
        position += 2 + struct.unpack_from(">H", data, position + 2)[0]
    raise ValueError("a damaged JPEG: it has no frame header")
