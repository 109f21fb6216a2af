"""Keys and signatures in the formats of minisign, whose own command can make and check them too.

Ed25519 comes from ``cryptography``, BLAKE2b and scrypt from the standard library. A signature
covers the BLAKE2b-512 of a file; a second one covers the first and the *trusted comment*, so that
nobody can exchange the comment. https://jedisct1.github.io/minisign/ describes the formats.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fer_edge.errors import FerEdgeError, require_extra
from fer_edge.files import write_text

SIGNATURE_LIMIT = 16 << 10
"""Bytes of the largest signature or key file that is parsed."""

_ED25519, _HASHED, _SCRYPT, _BLAKE2B, _NO_KDF = b"Ed", b"ED", b"Sc", b"B2", b"\0\0"
_SECRET = struct.Struct("<2s2s2s32sQQ104s")
_KEYS = struct.Struct("<8s64s32s")
_OPERATIONS, _MEMORY = 1 << 25, 1 << 30
"""minisign's own limits for deriving a key from a password: 3 s and 1 GiB."""
_MOST_MEMORY = 2 << 30


@dataclass(frozen=True)
class PublicKey:
    """What a signature is checked with.

    Attributes:
        number: 8 random bytes that name the key pair.
        key: the Ed25519 public key, 32 bytes.
    """

    number: bytes
    key: bytes

    @property
    def id(self) -> str:
        """The number as minisign prints it, 16 hexadecimal digits."""
        return self.number[::-1].hex().upper()

    def to_text(self) -> str:
        """The content of a ``.pub`` file."""
        return _lines(
            f"minisign public key {self.id}", base64.b64encode(_ED25519 + self.number + self.key)
        )


@dataclass(frozen=True)
class SecretKey:
    """What bundles are signed with: the seed of 32 bytes, and its public key."""

    public: PublicKey
    seed: bytes

    def sign(self, message: bytes, trusted_comment: str) -> bytes:
        """The content of a ``.minisig`` file for a message."""
        if not _printable(trusted_comment):
            raise FerEdgeError(
                f"a comment is one line of text, got {trusted_comment!r}", "leave out what is not"
            )
        key = _ed25519().Ed25519PrivateKey.from_private_bytes(self.seed)
        signature = key.sign(hashlib.blake2b(message).digest())
        proof = key.sign(signature + trusted_comment.encode())
        packed = base64.b64encode(_HASHED + self.public.number + signature)
        comment = f"signature from fer-edge, key {self.public.id}"
        lines = _lines(comment, packed) + f"trusted comment: {trusted_comment}\n"
        return lines.encode() + base64.b64encode(proof) + b"\n"


@dataclass(frozen=True)
class Signature:
    """A parsed ``.minisig`` file; nothing has been checked.

    Attributes:
        hashed: whether the message was hashed with BLAKE2b first, as minisign does since 0.10.
        number: of the key that is said to have signed.
        signature: of the message, 64 bytes.
        trusted_comment: such as ``timestamp:1763712000<TAB>version:7``.
        proof: of the signature and the comment, 64 bytes.
    """

    hashed: bool
    number: bytes
    signature: bytes
    trusted_comment: str
    proof: bytes

    @property
    def key_id(self) -> str:
        """The number as minisign prints it."""
        return self.number[::-1].hex().upper()

    def entry(self, name: str) -> str | None:
        """A ``name:value`` of the trusted comment; None where there is none."""
        for part in self.trusted_comment.split("\t"):
            key, colon, value = part.partition(":")
            if colon and key == name:
                return value
        return None

    def is_of(self, message: bytes, key: PublicKey) -> bool:
        """Whether this key signed this message and this trusted comment."""
        if self.number != key.number:
            return False
        signed = hashlib.blake2b(message).digest() if self.hashed else message
        ed25519 = _ed25519()
        from cryptography.exceptions import InvalidSignature

        try:
            checker = ed25519.Ed25519PublicKey.from_public_bytes(key.key)
            checker.verify(self.signature, signed)
            checker.verify(self.proof, self.signature + self.trusted_comment.encode())
        except (InvalidSignature, ValueError):
            return False
        return True


def parse_signature(content: bytes) -> Signature:
    """Read a ``.minisig`` file.

    Raises:
        ValueError: it is none.
    """
    if len(content) > SIGNATURE_LIMIT:
        raise ValueError("it is too long")
    lines = content.decode("utf-8").replace("\r\n", "\n").removesuffix("\n").split("\n")
    if len(lines) != 4 or not lines[2].startswith("trusted comment: "):
        raise ValueError("it has other lines than a signature has")
    packed, proof = _decoded(lines[1], 74), _decoded(lines[3], 64)
    comment = lines[2].removeprefix("trusted comment: ")
    if packed[:2] not in (_ED25519, _HASHED):
        raise ValueError("it is of an unknown kind")
    if not _printable(comment):
        raise ValueError("its comment cannot be printed")
    return Signature(packed[:2] == _HASHED, packed[2:10], packed[10:], comment, proof)


def read_public_key(path: Path) -> PublicKey:
    """Read a ``.pub`` file, as ``minisign -G`` writes it.

    Raises:
        FerEdgeError: there is none, or it holds something else.
    """
    try:
        packed = _decoded(_second_line(path), 42)
        if packed[:2] != _ED25519:
            raise ValueError("it is of an unknown kind")
    except ValueError as error:
        raise FerEdgeError(
            f"{path} is not a minisign public key: {error}",
            "give the .pub file that fer-edge bundle keygen or minisign -G wrote",
        ) from error
    return PublicKey(packed[2:10], packed[10:])


def new_key() -> SecretKey:
    """A key pair of fresh random numbers."""
    seed = os.urandom(32)
    return SecretKey(PublicKey(os.urandom(8), _public_bytes(seed)), seed)


def read_secret_key(path: Path, ask: Callable[[], str]) -> SecretKey:
    """Read minisign's secret key file.

    Args:
        path: the file.
        ask: gives the password; called only when the file is encrypted. Deriving the key takes
            seconds and 1 GiB of memory, so that guessing is expensive.

    Raises:
        FerEdgeError: no such key, a wrong password, or too little memory.
    """
    try:
        packed = _SECRET.unpack(_decoded(_second_line(path), _SECRET.size))
        kind, kdf, checksum, salt, operations, memory, keys = packed
        if kind != _ED25519 or kdf not in (_SCRYPT, _NO_KDF) or checksum != _BLAKE2B:
            raise ValueError("it is of an unknown kind")
        encrypted = kdf == _SCRYPT
        if encrypted:
            keys = _xor(keys, _derive(ask(), salt, operations, memory))
        number, pair, found = _KEYS.unpack(keys)
    except ValueError as error:
        raise FerEdgeError(
            f"{path} is not a minisign secret key: {error}",
            "give the file that fer-edge bundle keygen or minisign -G wrote",
        ) from error
    seed, public = pair[:32], pair[32:]
    # minisign leaves the checksum of an open key empty
    expected = bytes(32) if found == bytes(32) and not encrypted else _checksum(number, pair)
    if not hmac.compare_digest(found, expected) or public != _public_bytes(seed):
        if encrypted:
            raise FerEdgeError(f"wrong password for {path}", "try again")
        raise FerEdgeError(f"the secret key {path} is damaged", "take it from a backup")
    return SecretKey(PublicKey(number, public), seed)


def write_secret_key(
    path: Path,
    key: SecretKey,
    password: str,
    *,
    operations: int = _OPERATIONS,
    memory: int = _MEMORY,
) -> None:
    """Write minisign's secret key file, readable by its owner alone.

    Args:
        path: must not exist.
        key: what is written.
        password: encrypts it; empty leaves it open, as ``minisign -G -W`` does.
        operations, memory: limits of the derivation, in libsodium's terms.

    Raises:
        FerEdgeError: the file exists, or cannot be written.
    """
    pair = key.seed + key.public.key
    keys = _KEYS.pack(key.public.number, pair, _checksum(key.public.number, pair))
    if password:
        salt = os.urandom(32)
        keys = _xor(keys, _derive(password, salt, operations, memory))
        packed = _SECRET.pack(_ED25519, _SCRYPT, _BLAKE2B, salt, operations, memory, keys)
    else:
        packed = _SECRET.pack(_ED25519, _NO_KDF, _BLAKE2B, bytes(32), 0, 0, keys)
    what = "minisign encrypted secret key" if password else "minisign secret key"
    write_text(path, _lines(what, base64.b64encode(packed)), private=True)


def _printable(comment: str) -> bool:
    return comment.replace("\t", "").isprintable()


def _lines(comment: str, packed: bytes) -> str:
    return f"untrusted comment: {comment}\n{packed.decode()}\n"


def _second_line(path: Path) -> str:
    """Of a key file, whose first line is a comment."""
    try:
        with path.open("rb") as file:
            content = file.read(SIGNATURE_LIMIT)
    except OSError as error:
        raise FerEdgeError(
            f"cannot read the key {path}: {(error.strerror or '').lower()}",
            "give a key file; fer-edge bundle keygen makes a pair",
        ) from error
    lines = content.decode("utf-8").splitlines()
    if len(lines) < 2 or not lines[0].startswith("untrusted comment:"):
        raise ValueError("it has other lines than a key has")
    return lines[1].strip()


def _decoded(text: str, size: int) -> bytes:
    try:
        packed = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("it is not base64") from error
    # one text for the same bytes, where base64 has several
    if base64.b64encode(packed).decode() != text:
        raise ValueError("it is not base64")
    if len(packed) != size:
        raise ValueError(f"it holds {len(packed)} bytes, not {size}")
    return packed


def _checksum(number: bytes, pair: bytes) -> bytes:
    return hashlib.blake2b(_ED25519 + number + pair, digest_size=32).digest()


def _derive(password: str, salt: bytes, operations: int, memory: int) -> bytes:
    """104 bytes from a password, as libsodium's ``crypto_pwhash_scryptsalsa208sha256``."""
    if memory > _MOST_MEMORY or operations > 8 * _OPERATIONS:
        raise ValueError("its password would take too much memory or time")
    # from libsodium's limits to scrypt's parameters, as its pickparams() does
    operations, block = max(operations, 32768), 8
    if operations < memory // 32:
        most, times = operations // (block * 4), 1
        exponent = _exponent(most)
    else:
        exponent = _exponent(memory // (block * 128))
        times = min((operations // 4) >> exponent, 0x3FFFFFFF) // block
    if not times:
        raise ValueError("its limits for a password are impossible")
    needed = 128 * block * ((1 << exponent) + times + 2) + (1 << 20)
    try:
        return hashlib.scrypt(
            password.encode(),
            salt=salt,
            n=1 << exponent,
            r=block,
            p=times,
            maxmem=needed,
            dklen=104,
        )
    except (MemoryError, ValueError) as error:
        raise FerEdgeError(
            f"the password needs {needed >> 20} MiB of memory, which this machine does not have",
            "sign on a larger machine",
        ) from error


def _exponent(most: int) -> int:
    return next(n for n in range(1, 63) if 1 << n > most // 2)


def _xor(first: bytes, second: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(first, second, strict=True))


def _public_bytes(seed: bytes) -> bytes:
    key = _ed25519().Ed25519PrivateKey.from_private_bytes(seed).public_key()
    public: bytes = key.public_bytes_raw()
    return public


def _ed25519():  # type: ignore[no-untyped-def]
    require_extra("cryptography", "device")
    from cryptography.hazmat.primitives.asymmetric import ed25519

    return ed25519
