"""Which keys this machine trusts, and whether one of them signed a bundle."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from fer_edge.bundle.minisign import PublicKey, Signature, read_public_key
from fer_edge.errors import FerEdgeError
from fer_edge.shipped import comes_with_package, release_key

SYSTEM_KEYS = Path("/etc/fer-edge/keys")
"""Public keys (``*.pub``) that every user of this machine trusts."""
CHECKER = "cryptography"
"""The Python module without which no signature can be checked."""


class Configured(tuple[PublicKey, ...]):
    """Keys that this machine is configured to trust; others were named for one command."""


def user_keys() -> Path:
    """The folder of the public keys that this user trusts."""
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")  # noqa: PTH111
    return Path(home) / "fer-edge" / "keys"


def trusted_keys(given: Sequence[Path] = ()) -> tuple[PublicKey, ...]:
    """The keys of which one must have signed a bundle; none at all means that anything goes.

    Args:
        given: public key files; they take the place of the configured ones.

    Raises:
        FerEdgeError: a key cannot be read. It is not passed over: that would trust more, not less.
    """
    if given:
        return tuple(map(read_public_key, given))
    folders = (SYSTEM_KEYS, user_keys())
    return Configured(read_public_key(path) for folder in folders for path in _keys_in(folder))


def given_keys(given: Sequence[Path] | None) -> tuple[PublicKey, ...] | None:
    """The keys that somebody named; None where nobody did, which leaves it to the machine.

    Raises:
        FerEdgeError: a key cannot be read.
    """
    return trusted_keys(given) if given else None


def with_package_key(path: Path, keys: Sequence[PublicKey]) -> Sequence[PublicKey]:
    """The keys of which one must have signed a bundle.

    Where it came with the package, the package's own key counts as well: whoever runs the package
    trusts those who made it.
    """
    return and_package_key(keys) if comes_with_package(path) else keys


def and_package_key(keys: Sequence[PublicKey]) -> Sequence[PublicKey]:
    """The keys and the package's own; none where there are none, since then anything goes."""
    if not keys:
        return ()
    both = (*keys, read_public_key(release_key()))
    return Configured(both) if isinstance(keys, Configured) else both


def is_package_key(key: PublicKey) -> bool:
    """Whether a key is that of those who made the package."""
    return release_key().is_file() and key == read_public_key(release_key())


def package_signer(path: Path, message: bytes, signature: Signature | None) -> PublicKey | None:
    """The package's own key where a bundle names it as its signer; its signature is checked then.

    None also where nothing is installed that could check it: nobody has asked for it.

    Raises:
        FerEdgeError: it was changed after it was signed.
    """
    if signature is None or not names_package_key(signature) or not can_check():
        return None
    return check_signature(path, message, signature, [read_public_key(release_key())])


def names_package_key(signature: Signature) -> bool:
    """Whether a signature says that it is of the package's own key."""
    return release_key().is_file() and _made(read_public_key(release_key()), signature)


def can_check() -> bool:
    """Whether what checks signatures is installed."""
    return find_spec(CHECKER) is not None


def check_signature(
    path: Path, message: bytes, signature: Signature | None, keys: Sequence[PublicKey]
) -> PublicKey | None:
    """Find the trusted key that signed a bundle's manifest; None where no key is asked for.

    Args:
        path: of the bundle, for messages.
        message: the manifest's bytes.
        signature: what the bundle holds.
        keys: those that are trusted.

    Raises:
        FerEdgeError: not signed, by another key, or not this manifest.
    """
    if not keys:
        return None
    wanted = ", ".join(key.id for key in keys)
    if signature is None:
        raise FerEdgeError(
            f"bundle {path} is not signed; this machine takes bundles signed by {wanted} only",
            f"sign it: fer-edge bundle sign {path} --secret-key FILE",
        )
    same = [key for key in keys if _made(key, signature)]
    if not same:
        raise FerEdgeError(
            f"bundle {path} is signed by {signature.key_id}, which is not trusted here; "
            f"{wanted} is",
            _how_to_trust(signature, named=not isinstance(keys, Configured)),
        )
    for key in same:
        if signature.is_of(message, key):
            return key
    raise FerEdgeError(
        f"the signature of bundle {path} is wrong: it was changed after {signature.key_id} signed",
        "get it again from where it was signed",
    )


def _made(key: PublicKey, signature: Signature) -> bool:
    """Whether a signature says that it is of a key."""
    return key.number == signature.number


def _how_to_trust(signature: Signature, *, named: bool) -> str:
    """What to do about a key that is not among those that were ``named``, or are configured."""
    if names_package_key(signature):
        own, whose = release_key(), "that is the key of this package"
        return f"{whose}: add --key {own}" if named else f"{whose}: put {own} into {SYSTEM_KEYS}"
    how = "name its .pub file with --key" if named else f"put its .pub file into {SYSTEM_KEYS}"
    return f"if you trust that key, {how}"


def _keys_in(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".pub")
    except (FileNotFoundError, NotADirectoryError) as error:
        # a key copied to where its folder should be is meant to count
        for place in (folder, folder.parent):
            if os.path.lexists(place) and not place.is_dir():
                raise FerEdgeError(
                    f"{place} is no folder, so the keys meant to be trusted are not found",
                    f"make it one, with the .pub files in {folder}",
                ) from error
        return []
    except OSError as error:
        raise FerEdgeError(
            f"cannot read the trusted keys in {folder}: {(error.strerror or '').lower()}",
            "make the folder readable",
        ) from error
