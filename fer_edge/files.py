"""Artefacts are written under a temporary name and renamed, so that none is ever half-written."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path, PurePosixPath
from typing import Any

from fer_edge.errors import FerEdgeError

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm")
"""What the names of pictures end in, wherever some are read."""


def is_picture(name: str) -> bool:
    """Whether a file's name says that it is a picture.

    What macOS puts into an archive beside every picture has the picture's suffix; it is none.
    """
    file = PurePosixPath(name).name.lower()
    return file.endswith(PICTURES) and not file.startswith(".")


class NewNames:
    """Names of files that are written for others that are read: each its own, in one folder."""

    def __init__(self) -> None:
        self._taken: set[PurePosixPath] = set()

    def of(self, name: str, suffix: str) -> PurePosixPath:
        """The path below the folder for what is made of ``name``, which need not be a path in it.

        With another suffix; where that name is taken, the whole name and ``.png`` behind it.
        """
        path = PurePosixPath(name)
        path = PurePosixPath(*(part for part in path.parts if part not in (path.anchor, "..")))
        numbered = (path.with_name(f"{path.name}.{number}.png") for number in count(2))
        wanted = (path.with_suffix(suffix), path.with_name(f"{path.name}.png"))
        given = next(each for each in chain(wanted, numbered) if each not in self._taken)
        self._taken.add(given)
        return given


def explain(error: OSError, target: Path) -> FerEdgeError:
    """What an error of the operating system means to whoever wanted ``target`` written."""
    hints = {
        errno.ENOSPC: "free some space or choose another folder",
        errno.EDQUOT: "free some space or choose another folder",
        errno.EROFS: "the file system is read-only; choose another folder",
        errno.EACCES: "choose a folder you may write to",
        errno.EPERM: "choose a folder you may write to",
        errno.ENOTDIR: "a part of that path is a file; choose another folder",
        errno.EISDIR: "that is a folder; name a file",
        errno.EEXIST: "a part of that path is a file; choose another folder",
        errno.ENAMETOOLONG: "give it a shorter name",
        errno.ENOENT: "that folder cannot be made; choose another one",
    }
    reason = (error.strerror or str(error)).lower()
    return FerEdgeError(f"cannot write {target}: {reason}", hints.get(error.errno or 0, ""))


def refuse_replacing(option: str, target: Path, *read: tuple[str, Path | None]) -> None:
    """Raise FerEdgeError where ``target``, which ``option`` names, is a file that is read.

    Each of ``read`` is what the file is called and its path, None where there is none.
    """
    for name, path in read:
        if path is not None and path.exists() and target.exists() and target.samefile(path):
            raise FerEdgeError(
                f"{option} {target} would replace the {name} that is read", "give it another name"
            )


@contextmanager
def atomic_path(target: Path | str, *, mode: int = 0o666) -> Iterator[Path]:
    """Yield a temporary path in ``target``'s folder; on success it is synced and renamed to target.

    The suffix is kept, because libraries choose a format by it. On any exception the temporary
    file is removed and ``target`` is as it was. ``mode`` holds the permissions, less the umask's.

    Raises:
        FerEdgeError: the folder cannot be written to or the disk is full.
    """
    target = Path(target)
    temporary = None
    try:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(
                dir=target.parent, prefix=_prefix(target.stem), suffix=target.suffix
            )
            os.close(handle)
            temporary = Path(name)
            yield temporary
            # mkstemp makes private files; an artefact gets what any new file would
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(mode & ~umask)
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(target)
        except OSError as error:
            raise explain(error, target) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def leftovers(folder: Path, name: str) -> list[Path]:
    """What ``atomic_path`` left in a folder when its process was killed as it wrote a ``name``.

    ``name`` may be a pattern, such as ``*.keras``.
    """
    wanted = PurePosixPath(name)
    return list(folder.glob(f".{wanted.stem}-{'[a-z0-9_]' * 8}{wanted.suffix}"))


@contextmanager
def atomic_folder(target: Path | str) -> Iterator[Path]:
    """Yield a temporary folder beside ``target``; on success it takes target's name.

    An existing ``target`` is replaced only after the new folder is complete.

    Raises:
        FerEdgeError: the parent cannot be written to or the disk is full.
    """
    target = Path(target)
    temporary = None
    try:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=_prefix(target.name)))
            yield temporary
            temporary.chmod(0o755)
            if target.exists():
                retired = Path(
                    tempfile.mkdtemp(dir=target.parent, prefix=f"{_prefix(target.name)}old-")
                )
                target.replace(retired / target.name)
                try:
                    temporary.replace(target)
                except OSError:
                    (retired / target.name).replace(target)
                    raise
                finally:
                    shutil.rmtree(retired, ignore_errors=True)
            else:
                temporary.replace(target)
        except OSError as error:
            raise explain(error, target) from error
    finally:
        if temporary is not None and temporary.exists():
            shutil.rmtree(temporary, ignore_errors=True)


def write_text(target: Path | str, text: str, *, private: bool = False) -> None:
    """Write ``text`` as UTF-8 to ``target``, whole or not at all; private: for its owner alone."""
    with atomic_path(target, mode=0o600 if private else 0o666) as temporary:
        temporary.write_text(text, encoding="utf-8")


def json_text(content: Any, indent: int = 2) -> str:
    """JSON that any parser reads: a float that is no finite number becomes null."""
    return json.dumps(_finite(content), indent=indent, allow_nan=False)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object out of a file, empty where there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def sha256(path: Path | str) -> str:
    """Hex SHA-256 of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def sole_use(folder: Path) -> Iterator[None]:
    """Hold a folder against other processes that ask for it; it is let go when this one dies.

    Raises:
        FerEdgeError: another process has it.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FerEdgeError(
                f"{folder} is being worked on by another process",
                "wait for it or stop it, or choose another folder",
            ) from error
        yield
    finally:
        os.close(handle)


def _prefix(name: str) -> str:
    """How a temporary name begins, which must not be too long where ``name`` is not."""
    return f".{name[:32]}-"


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
