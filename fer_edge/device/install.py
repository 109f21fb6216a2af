"""The bundle that a device runs: exchanged in one step, with the one before kept at hand.

A folder holds ``000001.fer``, ``000002.fer`` … and the symbolic link ``current.fer``. Renaming that
link is the one step that installs or rolls back, so a device that is cut off at any moment has the
old bundle or the new one, whole. The bundle before the current one is the highest number below its;
what lies above was cut off or rolled back, and goes with the next installation.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from fer_edge.bundle import Bundle, open_bundle
from fer_edge.bundle.minisign import PublicKey
from fer_edge.bundle.trust import and_package_key, trusted_keys
from fer_edge.device.classifier import Classifier, open_classifier, refuse_detector
from fer_edge.device.folders import MACHINE, data_folder, share
from fer_edge.errors import FerEdgeError
from fer_edge.files import atomic_path, explain, sha256
from fer_edge.runtime.trial import NoProcess

CURRENT = "current.fer"
"""The link to the installed bundle."""
SYSTEM_FOLDER = MACHINE / "bundles"
"""Where root installs bundles, for every user of the machine."""
SERVICE = Path("/etc/systemd/system/fer-edge.service")
"""The unit that device/install.sh installs."""
_NUMBERED = re.compile(r"(\d{6})\.fer")
_LEFT_OVER = re.compile(r"\.(\d{6}|current)-.*\.fer")
"""Temporary names of an installation that was cut off."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Installed:
    """What a folder holds after an installation or a rollback.

    Attributes:
        current: the bundle that runs.
        previous: the one to go back to; None where there is none.
        name, version: of the current one; no version where it is not signed.
        changed: False when it was the current one before.
    """

    current: Path
    previous: Path | None
    name: str
    version: int | None
    changed: bool = True


def default_folder() -> Path:
    """Where bundles are installed: for the whole machine as root, else for this user."""
    return data_folder() / "bundles"


def installed_folder() -> Path | None:
    """The user's folder, else the machine's, where bundles are installed; None without any.

    Raises:
        FerEdgeError: one of the folders is closed to this user.
    """
    return next(filter(is_installation, (default_folder(), SYSTEM_FOLDER)), None)


def is_installation(folder: Path) -> bool:
    """Whether bundles are installed in a folder.

    Raises:
        FerEdgeError: the folder is closed to this user.
    """
    try:
        return (folder / CURRENT).is_symlink()
    except PermissionError as error:
        raise FerEdgeError(
            f"cannot read {folder}: permission denied",
            f"let every user read it: sudo chmod a+rx {folder.parent} {folder}",
        ) from error


def installed_keys(keys: Sequence[PublicKey] | None = None) -> Sequence[PublicKey] | None:
    """The keys for a bundle that is installed, which may be a copy of one of the package's own.

    Args:
        keys: those asked for; None takes those that this machine trusts, and the package's own.
    """
    if keys is not None:
        return keys
    return and_package_key(trusted_keys()) or None


def install(
    bundle: Path,
    folder: Path | None = None,
    *,
    keys: Sequence[PublicKey] | None = None,
    allow_downgrade: bool = False,
) -> Installed:
    """Copy a bundle into a folder, prove the copy on this machine, and make it the current one.

    Args:
        bundle: the ``.fer`` file.
        folder: of the installed bundles; None takes ``default_folder()``.
        keys: of which one must have signed it; None takes those that this machine trusts, and the
            package's own for what came with it.
        allow_downgrade: take a bundle whose signed version is lower than that of the installed one
            of the same name, or that has none.

    Raises:
        FerEdgeError: the bundle is refused, or the folder cannot be written. The current bundle is
            as it was.
    """
    folder = folder or default_folder()
    with _locked(folder):
        current = _current(folder)
        number = _number(current) if current else 0
        _clean(folder)
        # whatever is no bundle is not copied at all
        offered = open_bundle(bundle, keys=keys)
        refuse_detector(offered)
        if current and current.exists() and sha256(current) == sha256(bundle):
            _prune(folder, kept=_previous(folder))
            return _state(folder, changed=False)
        if not allow_downgrade:
            _refuse_downgrade(offered, current, _previous(folder))
        target = folder / f"{number + 1:06d}.fer"
        with atomic_path(target) as copy:
            shutil.copyfile(bundle, copy)
            _forget_cached(copy)
            if sha256(copy) != sha256(bundle):
                raise FerEdgeError(
                    f"{folder} did not keep {bundle} as it was written: the card or the disk fails",
                    "try again, then another card",
                )
            with _told_of(bundle, copy):
                open_classifier(copy, keys=installed_keys(keys))
        share(target)
        # a current bundle that has gone bad is no bundle to go back to
        kept = current if current and _opened(current) else _previous(folder)
        _point(folder, target)
        _prune(folder, kept=kept)
        return _state(folder)


def rollback(folder: Path | None = None, *, keys: Sequence[PublicKey] | None = None) -> Installed:
    """Make the previous bundle the current one again, after it was proven on this machine.

    Args:
        folder: of the installed bundles; None takes ``default_folder()``.
        keys: of which one must have signed it; None takes those that this machine trusts.

    Raises:
        FerEdgeError: nothing is installed, there is no previous bundle, or it is refused.
    """
    folder = folder or default_folder()
    if not is_installation(folder):
        raise _nothing(folder)
    with _locked(folder):
        previous = _previous(folder)
        if previous is None:
            raise FerEdgeError(
                f"there is no bundle before the current one in {folder}",
                "install another: fer-edge bundle install FILE, or a shipped model's name",
            )
        open_classifier(previous, keys=installed_keys(keys))
        _point(folder, previous)
        return _state(folder)


def open_installed(
    folder: Path,
    *,
    threads: int = 1,
    keys: Sequence[PublicKey] | None = None,
    say: Say = lambda line: None,
) -> Classifier:
    """Open the current bundle of a folder or, when that fails its self-test, the previous one.

    Nothing is changed on disk, so that the next start tries the current one again.

    Args:
        folder: of the installed bundles.
        threads: that one inference may use.
        keys: of which one must have signed it; None takes those that this machine trusts.
        say: told when the previous one is used, and why.

    Raises:
        FerEdgeError: nothing is installed, neither bundle is in order, or this machine is too busy
            to tell.
    """
    current = _current(folder)
    if current is None:
        raise _nothing(folder)
    keys = installed_keys(keys)
    try:
        return open_classifier(current, threads=threads, keys=keys)
    except NoProcess:
        raise
    except FerEdgeError as error:
        previous = _previous(folder)
        if previous is None:
            raise
        try:
            fallen_back = open_classifier(previous, threads=threads, keys=keys)
        except FerEdgeError:
            raise error from None
        say(f"{error.message}; using the bundle before it, {previous}")
        return fallen_back


def print_installed(state: Installed, *, as_json: bool = False) -> None:
    """Print what is installed now, and what was before."""
    if as_json:
        values = {
            name: str(value) if isinstance(value, Path) else value
            for name, value in asdict(state).items()
        }
        print(json.dumps(values, indent=2))
        return
    version = "" if state.version is None else f", version {state.version}"
    what = "installed" if state.changed else "is installed already"
    print(f"{state.name}{version}: {what} as {state.current}")
    if state.previous is not None:
        folder = state.current.parent
        where = "" if folder == default_folder() else f" --to {shlex.quote(str(folder))}"
        print(f"kept: {state.previous}; go back to it with: fer-edge bundle rollback{where}")
    if state.changed and state.current.parent == SYSTEM_FOLDER and SERVICE.exists():
        print("the service takes it when it starts again: sudo systemctl restart fer-edge")


def _opened(path: Path) -> Bundle | None:
    try:
        return open_bundle(path, keys=())
    except FerEdgeError:
        return None


def _refuse_downgrade(offered: Bundle, current: Path | None, previous: Path | None) -> None:
    """Refuse a lower version than the installed one's of that name; other names do not compare."""
    # one that cannot be opened must not keep its successor out
    opened = filter(None, (_opened(path) for path in (current, previous) if path))
    same = [kept for kept in opened if kept.manifest.name == offered.manifest.name]
    installed = same[0].version if same else None
    version = offered.version
    if installed is not None and (version is None or version < installed):
        given = "no version, since it is not signed" if version is None else f"version {version}"
        raise FerEdgeError(
            f"that would be a downgrade: {offered.path} has {given}; {installed} of "
            f"{offered.manifest.name} is installed",
            "if you mean it, add --allow-downgrade",
        )


@contextmanager
def _told_of(bundle: Path, copy: Path) -> Iterator[None]:
    """Have what is wrong with a copy, which will be gone, told of the bundle."""
    try:
        yield
    except FerEdgeError as error:
        texts = (text.replace(str(copy), str(bundle)) for text in (error.message, error.hint))
        raise FerEdgeError(*texts) from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Only one installation at a time; the lock goes with the process, however that ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in (folder, *_numbered(folder)):
            share(path)
        with (folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise FerEdgeError(
                    f"another installation into {folder} is going on", "wait until it has ended"
                ) from error
            yield
    except OSError as error:
        raise explain(error, folder) from error


def _current(folder: Path) -> Path | None:
    """The installed bundle, which may be missing; None where nothing is installed."""
    link = folder / CURRENT
    if not link.is_symlink():
        return None
    name = str(link.readlink())
    if not _NUMBERED.fullmatch(name):
        raise FerEdgeError(
            f"{link} leads to {name}, not to an installed bundle", "remove the link, install again"
        )
    return folder / name


def _previous(folder: Path) -> Path | None:
    current = _current(folder)
    below = [path for path in _numbered(folder) if current and _number(path) < _number(current)]
    return below[-1] if below else None


def _numbered(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if _NUMBERED.fullmatch(path.name))


def _number(path: Path) -> int:
    return int(path.stem)


def _clean(folder: Path) -> None:
    """Remove what an installation left that was cut off."""
    for path in list(folder.iterdir()):
        if _LEFT_OVER.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _prune(folder: Path, *, kept: Path | None) -> None:
    """Remove all bundles but the current one and the one to go back to."""
    current = _current(folder)
    for path in _numbered(folder):
        if path not in (current, kept):
            path.unlink(missing_ok=True)


def _point(folder: Path, target: Path) -> None:
    """Make ``target`` the current bundle, in one step that survives a power cut."""
    _sync(folder)
    link = folder / f".current-{os.getpid()}.fer"
    link.unlink(missing_ok=True)
    link.symlink_to(target.name)
    link.replace(folder / CURRENT)
    _sync(folder)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _forget_cached(path: Path) -> None:
    """Have the copy read back from the card, which may hold something else than was written."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _state(folder: Path, *, changed: bool = True) -> Installed:
    current = _current(folder)
    assert current is not None
    bundle = open_bundle(current, keys=())
    return Installed(current, _previous(folder), bundle.manifest.name, bundle.version, changed)


def _nothing(folder: Path) -> FerEdgeError:
    return FerEdgeError(
        f"no bundle is installed in {folder}",
        "install one: fer-edge bundle install edge-small, or a file of your own",
    )
