"""The model that a command is to use: the one that was named, else the one that is meant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from fer_edge.bundle.minisign import PublicKey
from fer_edge.device.classifier import Classifier, newest_bundle, open_classifier
from fer_edge.device.install import installed_folder, is_installation, open_installed
from fer_edge.errors import FerEdgeError
from fer_edge.shipped import default_model


def open_chosen(
    path: Path | None,
    *,
    threads: int = 1,
    keys: Sequence[PublicKey] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Classifier:
    """Open what was named, else the newest bundle nearby, else the installed or the shipped one.

    Args:
        path: a bundle, a folder of installed ones, or a bare model.
        threads: that one inference may use.
        keys: of which one must have signed the bundle; None takes those that this machine trusts.
        say: told which bundle nearby is used because it is the newest; and when an installed bundle
            failed its self-test and the one before it is used.

    Raises:
        FerEdgeError: there is none, or it is not in order; see ``open_classifier``.
    """
    if path is None:
        try:
            nearby = newest_bundle()
        except FerEdgeError:
            path = installed_folder() or default_model()
            if path is None:
                raise
        else:
            return _open_nearby(nearby, threads, keys, say)
    if is_installation(path):
        return open_installed(path, threads=threads, keys=keys, say=say)
    return open_classifier(path, threads=threads, keys=keys)


def _open_nearby(
    path: Path, threads: int, keys: Sequence[PublicKey] | None, say: Callable[[str], None]
) -> Classifier:
    """Open the newest bundle nearby, which nobody has named."""
    chosen = f"the newest {'here' if path.parent == Path() else 'in ./bundles'}"
    ships = default_model()
    other = f"name another, such as {ships.stem}, which ships" if ships else "name another"
    try:
        classifier = open_classifier(path, threads=threads, keys=keys)
    except FerEdgeError as error:
        raise FerEdgeError(
            f"{error.message} (no bundle was named, and ./{path} is {chosen})",
            f"{other}; or else {error.hint}",
        ) from error
    say(f"using ./{path}, {chosen}; to use something else, {other}")
    return classifier
