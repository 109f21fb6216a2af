"""How large a picture says it is, read before memory is taken to decode it.

JPEG and PNG, whose files are looked through anyway, are not here.
"""

from __future__ import annotations

import re
import struct

_SPACE = rb"(?:\s|#[^\n]*\n)+"
_NETPBM = re.compile(rb"P[2356]" + _SPACE + rb"(\d{1,9})" + _SPACE + rb"(\d{1,9})")
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_TIFF_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}
"""By TIFF's number of a type; ``struct``'s letter."""


def stated_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that a BMP, WebP, TIFF, PGM or PPM says it has.

    Returns:
        None of another kind.

    Raises:
        ValueError: it says nothing that can be read.
    """
    for begin, read in _KINDS.items():
        if data.startswith(begin):
            try:
                return read(data)
            except (struct.error, LookupError) as error:
                raise ValueError("the picture cannot be decoded: it states no size") from error
    return None


def _bmp(data: bytes) -> tuple[int, int]:
    (header,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", data, 18)
    return width, abs(height)  # negative where the first row is the upper one


def _webp(data: bytes) -> tuple[int, int]:
    kind = data[8:16]
    if kind == b"WEBPVP8X":
        low = struct.unpack_from("<HBHB", data, 24)
        return low[0] + (low[1] << 16) + 1, low[2] + (low[3] << 16) + 1
    if kind == b"WEBPVP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"WEBPVP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise LookupError


def _tiff(data: bytes) -> tuple[int, int]:
    order = "<" if data.startswith(b"I") else ">"
    (directory,) = struct.unpack_from(order + "I", data, 4)
    (entries,) = struct.unpack_from(order + "H", data, directory)
    found: dict[int, int] = {}
    for place in range(directory + 2, directory + 2 + 12 * entries, 12):
        tag, kind = struct.unpack_from(order + "HH", data, place)
        if tag in (_TIFF_WIDTH, _TIFF_HEIGHT):
            (value,) = struct.unpack_from(order + _TIFF_INTEGERS[kind], data, place + 8)
            found.setdefault(tag, value)
    return found[_TIFF_WIDTH], found[_TIFF_HEIGHT]


def _netpbm(data: bytes) -> tuple[int, int]:
    if (found := _NETPBM.match(data)) is None:
        raise LookupError
    return int(found[1]), int(found[2])


_KINDS = {
    b"BM": _bmp,
    b"RIFF": _webp,
    **dict.fromkeys((b"II*\0", b"MM\0*"), _tiff),
    **dict.fromkeys((b"P2", b"P3", b"P5", b"P6"), _netpbm),
}
"""By how a picture begins."""
