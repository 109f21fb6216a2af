"""Files inside folders, archives and compressed files, one at a time and within limits.

Nothing is ever extracted to disk, so a member's path is only a name here.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, cast

from fer_edge.errors import FerEdgeError
from fer_edge.printable import printable

MAX_UNPACKED = 4 << 30
"""Bytes that one archive may unpack to; FER2013's CSV has 0.3 GB."""

MAX_RATIO = 100
"""How many times its packed size an archive may unpack to; FER2013's CSV packs to a third."""

MAX_MEMBERS = 500_000
"""Files in one archive or folder."""

_RATIO_FREE = 64 << 20
"""Bytes below which the ratio does not matter: a small set of flat images packs very well."""

_BUFFER = 1 << 20

_BOMB_HINT = "it is damaged or made to exhaust memory; get it again from its source"
_BROKEN_HINT = "the file is damaged or the download incomplete; get it again"

_DAMAGE: tuple[type[Exception], ...] = (
    zipfile.BadZipFile,
    tarfile.TarError,
    EOFError,
    zlib.error,
    NotImplementedError,
    OSError,
)
with suppress(ImportError):  # of a Python that was built without it, and refuses such members
    from lzma import LZMAError

    _DAMAGE += (LZMAError,)

_NESTED = re.compile(
    r"(fer2013|icml_face_data|train|test)(\.csv)?\.(zip|tar|tar\.gz|tgz)", re.IGNORECASE
)
"""Archives that are looked into where they lie in a folder: as Kaggle names what it packs."""


@dataclass(frozen=True)
class Entry:
    """One file of a source.

    Attributes:
        name: path inside the source, with forward slashes; whoever prints it makes it printable.
        where: what to call it in messages.
        open: opens its bytes for reading; closing the stream is the caller's part.
    """

    name: str
    where: str
    open: Callable[[], BinaryIO]

    @property
    def basename(self) -> str:
        return PurePosixPath(self.name).name.lower()


class Entries(list[Entry]):
    """A source's files; of a tar perhaps not those behind one that was enough."""

    def __init__(self, found: Iterable[Entry], rest: Iterable[Entry] = ()) -> None:
        super().__init__(found)
        self._rest = iter(rest)

    def look_on(self) -> Iterator[Entry]:
        """Files behind the one that was enough, read on from where the tar stands.

        Raises:
            FerEdgeError: the tar is damaged there, or breaks a limit.
        """
        return self._rest


@contextmanager
def open_source(path: Path, complete: Callable[[str], bool]) -> Iterator[Entries]:
    """Yield the files of a folder, an archive, or the one file that ``path`` is.

    Args:
        path: a folder, or a file that is plain or a .gz, .zip, .tar or .tar.gz by its content.
        complete: tells by a file's name that no other is needed at first. A tar has no table of
            contents, so finding all the names in a compressed one costs as much as reading it.

    Raises:
        FerEdgeError: there is no such path, it is a pipe, may not be read, is damaged, or breaks a
            limit; also from within the block when a damaged member is read.
    """
    with ExitStack() as stack:
        try:
            is_folder = path.is_dir()
            if not is_folder:
                _refuse_pipe(path)
            entries = (_folder_entries if is_folder else _file_entries)(path, stack, complete)
        except FileNotFoundError as error:
            raise FerEdgeError(f"there is no file or folder {path}", "check the path") from error
        except PermissionError as error:
            raise FerEdgeError(f"{path} may not be read", "check its permissions") from error
        except _DAMAGE as error:
            raise _broken(path.name, error) from error
        yield entries


def _folder_entries(folder: Path, stack: ExitStack, complete: Callable[[str], bool]) -> Entries:
    entries: list[Entry] = []
    rest: list[Iterator[Entry]] = []
    for root, files in _walk(folder):
        for file in files:
            path = root / file
            name = path.relative_to(folder).as_posix()
            if file.startswith("."):
                continue
            _refuse_dangling(path)
            if not path.is_file():
                continue  # a pipe or a socket
            if _NESTED.fullmatch(name):
                inner = _file_entries(path, stack, complete)
                within = partial(_within, name.split(".")[0])
                entries += map(within, inner)
                rest.append(map(within, inner.look_on()))
            else:
                entries.append(Entry(name, printable(str(path)), partial(_open_plain, path)))
        _refuse_crowd(str(folder), len(entries))
    return Entries(entries, chain.from_iterable(rest))


def _walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Every folder with its files' names, sorted; linked folders come last, and each once.

    So a link that leads back above, or to what lies in the folder anyway, adds nothing.
    """
    seen: set[tuple[int, int]] = set()
    starts = [folder]
    for start in starts:
        for root, folders, files in os.walk(start, onerror=_raise):
            status = Path(root).stat()
            known = (status.st_dev, status.st_ino)
            if start is not folder and known in seen:
                folders.clear()
                continue
            seen.add(known)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            starts += [path for name in folders if (path := Path(root) / name).is_symlink()]
            yield Path(root), sorted(files)


def _within(folder: str, entry: Entry) -> Entry:
    return replace(entry, name=f"{folder}/{entry.name}")


def _refuse_dangling(path: Path) -> None:
    # it may have been a whole folder of pictures, on a disk that is not mounted
    if path.is_symlink() and not path.exists():
        raise FerEdgeError(
            f"{path} is a link that leads nowhere", "mount what it leads to, or remove the link"
        )


def _refuse_pipe(path: Path) -> None:
    # files are read more than once, and whoever opens a pipe waits for somebody who writes
    if path.exists() and not path.is_file():
        kind = "pipe" if path.is_fifo() else "device or a socket"
        raise FerEdgeError(f"{path} is a {kind}, not a file", "write what it gives to a file first")


def _raise(error: OSError) -> None:
    raise error


def _file_entries(path: Path, stack: ExitStack, complete: Callable[[str], bool]) -> Entries:
    file = stack.enter_context(path.open("rb"))
    if file.read(4) in (b"PK\x03\x04", b"PK\x05\x06"):
        return Entries(_zip_entries(stack.enter_context(zipfile.ZipFile(path)), path))
    stream = _open_plain(path)
    stack.callback(stream.close)
    head = cast(io.BufferedReader, stream).peek(512)[:512]
    if len(head) == 512 and head[257:262] == b"ustar":
        stack.push(partial(_drain, stream))
        tar = stack.enter_context(tarfile.TarFile(fileobj=stream))
        return _until(complete, _tar_entries(tar, path))
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    return Entries([Entry(name, path.name, partial(_open_plain, path))])


def _until(complete: Callable[[str], bool], entries: Iterator[Entry]) -> Entries:
    """Those up to the first that is enough, and the others at hand."""
    found = []
    for entry in entries:
        found.append(entry)
        if complete(entry.basename):
            break
    return Entries(found, entries)


def _drain(stream: BinaryIO, failure: type[BaseException] | None, *_: object) -> None:
    """Read on to the end, where gzip keeps its checksum, unless something failed already."""
    while failure is None and stream.read(_BUFFER):
        pass


def _open_plain(path: Path) -> BinaryIO:
    """A file's bytes, unpacked where they are gzip's."""
    try:
        file = path.open("rb")
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
    except PermissionError as error:
        raise FerEdgeError(f"{path} may not be read", "check its permissions") from error
    if packed:
        limit = _unpacked_limit(path.stat().st_size)
        return _checked(cast(IO[bytes], gzip.GzipFile(fileobj=file)), path.name, limit)
    return _checked(file, path.name)


def _zip_entries(archive: zipfile.ZipFile, path: Path) -> list[Entry]:
    members = [each for each in archive.infolist() if not each.filename.endswith(("/", "\\"))]
    _refuse_crowd(path.name, len(members))
    _refuse_bomb(path, sum(member.file_size for member in members))
    if any(member.flag_bits & 1 for member in members):
        raise FerEdgeError(f"{path.name} is encrypted", "unpack it with its password first")
    entries = []
    for member in members:
        name = member.filename
        if "/" not in name:  # Windows PowerShell writes what the format forbids
            name = name.replace("\\", "/")
        where = printable(f"{path.name}:{name}")
        opened = partial(_open_member, partial(archive.open, member), where)
        entries.append(Entry(name, where, opened))
    return entries


def _tar_entries(archive: tarfile.TarFile, path: Path) -> Iterator[Entry]:
    """Its files as they come, the tar standing at the last one."""
    unpacked = count = 0
    try:
        for member in archive:
            if not member.isreg():
                continue
            unpacked, count = unpacked + member.size, count + 1
            _refuse_bomb(path, unpacked)
            _refuse_crowd(path.name, count)
            where = printable(f"{path.name}:{member.name}")
            opened = partial(_open_member, partial(archive.extractfile, member), where)
            yield Entry(member.name, where, opened)
        _require_end(archive)
    except _DAMAGE as error:
        raise _broken(path.name, error) from error


def _require_end(archive: tarfile.TarFile) -> None:
    """Raise EOFError or TarError unless zeros stand where the next header would be.

    Python ends a tar without a word at a header that is cut off or is none.
    """
    stream = cast(BinaryIO, archive.fileobj)
    stream.seek(archive.offset)
    block = stream.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        raise EOFError
    if any(block):
        raise tarfile.ReadError("no file's header stands where one should")


def _open_member(open_it: Callable[[], IO[bytes] | None], where: str) -> BinaryIO:
    try:
        return _checked(cast(IO[bytes], open_it()), where)
    except _DAMAGE as error:
        raise _broken(where, error) from error


class _Checked(io.RawIOBase):
    """A stream that stops at a limit, and turns damage into a FerEdgeError."""

    def __init__(self, inner: IO[bytes], where: str, limit: int) -> None:
        self._inner, self._where, self._limit = inner, where, limit

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._inner.tell()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            if whence == os.SEEK_CUR:
                offset += self._inner.tell()
            self._refuse_beyond(offset)
            return self._inner.seek(offset)
        except _DAMAGE as error:
            raise _broken(self._where, error) from error

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        try:
            data = self._inner.read(min(len(buffer), _BUFFER))
        except _DAMAGE as error:
            raise _broken(self._where, error) from error
        self._refuse_beyond(self._inner.tell())
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._inner.close()
        super().close()

    def _refuse_beyond(self, position: int) -> None:
        if position > self._limit:
            raise FerEdgeError(
                f"{self._where} unpacks to more than {self._limit / 1e6:,.0f} MB", _BOMB_HINT
            )


class _Reader(io.BufferedReader):
    """Takes memory for what there is, and not for what a caller would bear at most."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size <= _BUFFER:
            return super().read(size)
        parts = []
        while size and (part := super().read(min(size, _BUFFER))):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def _checked(inner: IO[bytes], where: str, limit: int = MAX_UNPACKED) -> BinaryIO:
    return cast(BinaryIO, _Reader(_Checked(inner, where, limit), _BUFFER))


def _unpacked_limit(packed: int) -> int:
    return min(MAX_UNPACKED, max(_RATIO_FREE, MAX_RATIO * packed))


def _refuse_bomb(path: Path, unpacked: int) -> None:
    if unpacked > _unpacked_limit(path.stat().st_size):
        packed = path.stat().st_size
        raise FerEdgeError(
            f"{path.name} has {packed / 1e6:,.1f} MB and unpacks to {unpacked / 1e6:,.0f} MB",
            _BOMB_HINT,
        )


def _refuse_crowd(where: str, members: int) -> None:
    if members > MAX_MEMBERS:
        raise FerEdgeError(f"{where} holds more than {MAX_MEMBERS:,} files", _BOMB_HINT)


def _broken(where: str, error: Exception) -> FerEdgeError:
    if isinstance(error, EOFError):
        return FerEdgeError(f"{where} is truncated", _BROKEN_HINT)
    reason = str(error) or type(error).__name__
    return FerEdgeError(f"{where} is damaged: {reason}", _BROKEN_HINT)
