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
        say: told when an installed bundle failed its self-test and the one before it is used.

    Raises:
        FerEdgeError: there is none, or it is not in order; see ``open_classifier``.
    """
    if path is None:
        path = _meant()
    if is_installation(path):
        return open_installed(path, threads=threads, keys=keys, say=say)
    return open_classifier(path, threads=threads, keys=keys)


def _meant() -> Path:
    try:
        return newest_bundle()
    except FerEdgeError:
        found = installed_folder() or default_model()
        if found is None:
            raise
        return found
