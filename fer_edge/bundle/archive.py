"""The zip behind a bundle: one form only, so that every byte of a file is accounted for.

Members are stored uncompressed, in sorted order, one behind the other, dated 1980-01-01, with the
permissions 0644, without comments and extra fields. A reader computes what the headers must be and
compares; whatever differs is refused. Any unzip reads the result.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Of a member: no folder, nothing hidden, nothing that a file system or a terminal minds."""
MOST_MEMBERS = 32
CHUNK = 1 << 20
"""Bytes that are held at once while a member is checked."""

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_VERSION, _UNIX, _STORED, _MIDNIGHT = 20, 3 << 8, 0, 0
_NEW_YEAR_1980 = 1 << 5 | 1
_PERMISSIONS = 0o644 << 16

ReadAt = Callable[[int, int], bytes]
"""Gives so many bytes (second) from a position (first), or fewer where the file ends."""


@dataclass(frozen=True)
class Member:
    """Where a member's bytes lie.

    Attributes:
        start: position of its first byte in the archive.
        size: bytes.
        crc: the zip's own checksum of them.
    """

    start: int
    size: int
    crc: int


def pack(content: Mapping[str, bytes]) -> bytes:
    """The archive of these members; the same content gives the same bytes."""
    parts, directory, offset = [], [], 0
    for name in sorted(content):
        data = content[name]
        local, central = _headers(name, Member(0, len(data), zlib.crc32(data)), offset)
        parts += [local, data]
        directory.append(central)
        offset += len(local) + len(data)
    listed = b"".join(directory)
    return b"".join([*parts, listed, _end(len(content), len(listed), offset)])


def unpack(packed: bytes) -> dict[str, bytes]:
    """The members of an archive in memory.

    Raises:
        ValueError: not an archive as ``pack`` makes it.
    """
    archive = Archive(lambda start, size: packed[start : start + size], len(packed))
    return {name: archive.read(name) for name in archive.members}


class Archive:
    """An archive in the one form, opened; its headers have been compared, its members not yet.

    Args:
        read: gives the archive's bytes.
        size: of the archive in bytes.

    Attributes:
        members: by name, in sorted order.

    Raises:
        ValueError: anything but the members' own bytes is not what ``pack`` would write.
    """

    def __init__(self, read: ReadAt, size: int) -> None:
        self._read = read
        self.members = self._layout(size)

    def read(self, name: str) -> bytes:
        """A member's bytes; ValueError if they are not those that were packed."""
        member = self.members[name]
        data = self._exactly(member.start, member.size)
        if zlib.crc32(data) != member.crc:
            raise ValueError(f"the zip's checksum of {name} is wrong")
        return data

    def chunks(self, name: str) -> Iterator[bytes]:
        """A member's bytes, at most ``CHUNK`` at a time; ValueError at the end, as ``read``."""
        member, crc = self.members[name], 0
        for start in range(0, member.size, CHUNK):
            data = self._exactly(member.start + start, min(CHUNK, member.size - start))
            crc = zlib.crc32(data, crc)
            yield data
        if crc != member.crc:
            raise ValueError(f"the zip's checksum of {name} is wrong")

    def _layout(self, size: int) -> dict[str, Member]:
        if size < _END.size:
            raise ValueError("it is too short")
        end = self._exactly(size - _END.size, _END.size)
        count, listed, offset = (_END.unpack(end)[index] for index in (4, 5, 6))
        if end != _end(count, listed, offset) or offset + listed + _END.size != size:
            raise ValueError("its end is not that of a bundle")
        if count > MOST_MEMBERS or listed > MOST_MEMBERS * (_CENTRAL.size + 64):
            raise ValueError("it has too many members")
        directory = self._exactly(offset, listed)
        members: dict[str, Member] = {}
        position = place = 0
        for _ in range(count):
            name, member = _listed(directory, place, position)
            if member.start + member.size > offset:
                raise ValueError(f"{name} is said to be longer than there is room")
            if members and name <= next(reversed(members)):
                raise ValueError("its members are repeated or out of order")
            local, central = _headers(name, member, position)
            if directory[place : place + len(central)] != central:
                raise ValueError(f"the entry of {name} is not as it was written")
            if self._exactly(position, len(local)) != local:
                raise ValueError(f"the header of {name} is not as it was written")
            members[name] = member
            place += len(central)
            position = member.start + member.size
        if place != listed or position != offset:
            raise ValueError("there are bytes that belong to no member")
        return members

    def _exactly(self, start: int, size: int) -> bytes:
        data = self._read(start, size)
        if len(data) != size:
            raise ValueError("it ends too early")
        return data


def reader(descriptor: int) -> ReadAt:
    """Read an open file by its descriptor."""

    def read(start: int, size: int) -> bytes:
        parts = []
        while size > 0 and (part := os.pread(descriptor, size, start)):
            parts.append(part)
            start, size = start + len(part), size - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    return read


def _listed(directory: bytes, place: int, position: int) -> tuple[str, Member]:
    """Name and member of the directory's entry at ``place``, whose header is at ``position``."""
    if place + _CENTRAL.size > len(directory):
        raise ValueError("its list of members is too short")
    values = _CENTRAL.unpack_from(directory, place)
    crc, size, length = values[7], values[9], values[10]
    start = place + _CENTRAL.size
    name = directory[start : start + length].decode("ascii", errors="replace")
    if not NAME.fullmatch(name):
        raise ValueError("a member's name is impossible")
    return name, Member(position + _LOCAL.size + length, size, crc)


def _headers(name: str, member: Member, offset: int) -> tuple[bytes, bytes]:
    """A member's local header, and its entry in the directory."""
    common = (
        *(_VERSION, 0, _STORED, _MIDNIGHT, _NEW_YEAR_1980),
        *(member.crc, member.size, member.size, len(name), 0),
    )
    local = _LOCAL.pack(b"PK\x03\x04", *common)
    more = (0, 0, 0, _PERMISSIONS, offset)
    central = _CENTRAL.pack(b"PK\x01\x02", _VERSION | _UNIX, *common, *more)
    return local + name.encode(), central + name.encode()


def _end(count: int, listed: int, offset: int) -> bytes:
    return _END.pack(b"PK\x05\x06", 0, 0, count, count, listed, offset, 0)
