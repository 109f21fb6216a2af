"""Signing bundles, making keys, and taking bundles apart: what their makers do."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from fer_edge.bundle.minisign import PublicKey, SecretKey, new_key, write_secret_key
from fer_edge.bundle.opening import MANIFEST, SIGNATURE, Bundle, open_bundle, write_signed
from fer_edge.errors import FerEdgeError
from fer_edge.files import atomic_path, write_text
from fer_edge.shipped import comes_with_package

LARGEST_VERSION = (1 << 63) - 1


def sign_bundle(
    path: Path, key: SecretKey, *, target: Path | None = None, version: int | None = None
) -> Bundle:
    """Sign a bundle's manifest, and so every byte of the bundle; an older signature is replaced.

    Args:
        path: the bundle.
        key: signs.
        target: written; None signs the bundle in its place.
        version: counter by which a device tells a downgrade; None takes the time, in seconds since
            1970, which grows by itself.

    Returns:
        The signed bundle, opened and checked with the key's public part.

    Raises:
        FerEdgeError: the bundle is damaged, comes with the package or cannot be written there, the
            target is something else than a bundle, or the version is out of range.
    """
    now = int(time.time())
    number = now if version is None else version
    if not 0 <= number <= LARGEST_VERSION:
        raise FerEdgeError(
            f"a version is from 0 to {LARGEST_VERSION}, got {number}", "count from 1"
        )
    bundle = open_bundle(path, keys=())
    if target is None and comes_with_package(path):
        raise FerEdgeError(
            f"{path.stem} comes with the package, signed by those who made it",
            f"sign a copy: -o {path.name}",
        )
    if target is not None:
        _check_target(target)
    comment = f"timestamp:{now}\tfile:{MANIFEST}\thashed\tversion:{number}"
    target = target or path
    write_signed(target, bundle, key.sign(bundle.written, comment))
    return open_bundle(target, keys=(key.public,))


def _check_target(target: Path) -> None:
    if target.is_dir():
        raise FerEdgeError(f"{target} is a folder", "name a file with -o, such as signed.fer")
    if not target.parent.is_dir():
        raise FerEdgeError(
            f"there is no folder {target.parent}", "make it, or name another with -o"
        )
    if not target.exists():
        return
    try:
        open_bundle(target, keys=())
    except FerEdgeError as error:  # such as the secret key
        raise FerEdgeError(
            f"{target} exists already and is no bundle", "choose another name with -o"
        ) from error


def make_keys(secret: Path, public: Path, password: str) -> PublicKey:
    """Make a key pair and write both halves.

    Args:
        secret: file of the secret key, readable by its owner alone.
        public: file of the public key.
        password: encrypts the secret key; empty leaves it open.

    Raises:
        FerEdgeError: one of the files exists, or cannot be written.
    """
    for path in (secret, public):
        if path.exists():
            raise FerEdgeError(f"{path} exists already", "choose another name with -o")
    key = new_key()
    write_secret_key(secret, key, password)
    try:
        write_text(public, key.public.to_text())
    except FerEdgeError:
        secret.unlink()
        raise
    return key.public


def extract(bundle: Bundle, folder: Path, members: Sequence[str] = ()) -> list[Path]:
    """Write a bundle's members as files; names are plain, so that none can leave the folder.

    Args:
        bundle: opened.
        folder: made where it is missing.
        members: names; none means all, with the manifest and the signature's file.

    Returns:
        The files.

    Raises:
        FerEdgeError: no such member, a file that exists, or a folder that cannot be written.
    """
    with_manifest = {MANIFEST: bundle.written}
    if bundle.signed is not None:
        with_manifest[SIGNATURE] = bundle.signed
    names = list(members) or sorted([*bundle.content, *with_manifest])
    contents = {name: with_manifest.get(name) or bundle.read(name) for name in names}
    targets = [folder / name for name in contents]
    if there := [target for target in targets if target.exists()]:
        raise FerEdgeError(f"{there[0]} exists already", "choose another folder with -o")
    for target, content in zip(targets, contents.values(), strict=True):
        with atomic_path(target) as temporary:
            temporary.write_bytes(content)
    return targets
