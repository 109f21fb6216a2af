"""Keys and signatures that minisign's own command makes and takes."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from minisign_files import MESSAGE, PUBLIC, SECRET, SIGNED, SIGNED_LEGACY

from fer_edge.bundle.minisign import (
    PublicKey,
    SecretKey,
    new_key,
    parse_signature,
    read_public_key,
    read_secret_key,
    write_secret_key,
)
from fer_edge.errors import FerEdgeError

pytest.importorskip("cryptography")

CHEAP = {"operations": 1 << 15, "memory": 1 << 24}
"""Limits for a password that cost a test 16 MiB, not 1 GiB."""


def _no_password() -> str:
    raise AssertionError("no password is needed")


@pytest.fixture
def public(tmp_path: Path) -> PublicKey:
    path = tmp_path / "known.pub"
    path.write_text(PUBLIC)
    return read_public_key(path)


@pytest.fixture
def secret(tmp_path: Path) -> SecretKey:
    path = tmp_path / "known.key"
    path.write_text(SECRET)
    return read_secret_key(path, _no_password)


def test_a_key_pair_and_signatures_of_minisign_0_11_are_read(
    public: PublicKey, secret: SecretKey
) -> None:
    assert secret.public == public
    assert PUBLIC.splitlines()[0].endswith(public.id)
    for text, hashed in ((SIGNED, True), (SIGNED_LEGACY, False)):
        signature = parse_signature(text.encode())
        assert signature.hashed == hashed
        assert signature.key_id == public.id
        assert signature.is_of(MESSAGE, public)
        assert not signature.is_of(MESSAGE + b"!", public)


def test_our_signature_is_byte_for_byte_the_one_that_minisign_makes(secret: SecretKey) -> None:
    comment = parse_signature(SIGNED.encode()).trusted_comment
    # the first line is a comment that anybody may change
    assert secret.sign(MESSAGE, comment).splitlines()[1:] == SIGNED.encode().splitlines()[1:]


def test_a_changed_comment_message_key_or_proof_is_found(public: PublicKey) -> None:
    good = parse_signature(SIGNED.encode())
    lines = SIGNED.splitlines()
    other = new_key().public
    for position, old, new in ((2, "timestamp:", "timestamp:9"), (3, lines[3][:4], "AAAA")):
        changed = [*lines]
        changed[position] = lines[position].replace(old, new, 1)
        assert not parse_signature("\n".join(changed).encode()).is_of(MESSAGE, public)
    assert not good.is_of(MESSAGE, other)
    assert not good.is_of(MESSAGE, PublicKey(public.number, other.key))
    assert not good.is_of(MESSAGE, PublicKey(public.number, bytes(32)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n\n\n",
        SIGNED[:-60],
        SIGNED + "more\n",
        SIGNED.replace("trusted comment: ", "comment: "),
        SIGNED.replace("RU", "XX", 1),
        SIGNED.replace("=", "", 1),
        SIGNED.replace("timestamp", "\x1b[31m"),
        SIGNED * 200,
    ],
)
def test_what_is_no_signature_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^its? "):
        parse_signature(text.encode())


def test_entries_of_the_trusted_comment_are_found_by_name(secret: SecretKey) -> None:
    signature = parse_signature(secret.sign(b"x", "timestamp:5\tfile:a:b\thashed\tversion:7"))
    assert signature.entry("version") == "7"
    assert signature.entry("file") == "a:b"
    assert signature.entry("hashed") is None
    assert signature.entry("vers") is None


def test_a_comment_of_two_lines_is_not_signed(secret: SecretKey) -> None:
    with pytest.raises(FerEdgeError, match="one line of text"):
        secret.sign(b"x", "version:1\nversion:2")


@pytest.mark.parametrize("password", ["", "correct horse", "pässwort"])
def test_a_secret_key_that_was_written_is_read_again(tmp_path: Path, password: str) -> None:
    key, path = new_key(), tmp_path / "my.key"
    write_secret_key(path, key, password, **CHEAP)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ("encrypted" in path.read_text()) == bool(password)
    assert read_secret_key(path, (lambda: password) if password else _no_password) == key


def test_a_wrong_password_is_told_from_a_damaged_key(tmp_path: Path) -> None:
    path = tmp_path / "my.key"
    write_secret_key(path, new_key(), "right", **CHEAP)
    with pytest.raises(FerEdgeError, match="wrong password"):
        read_secret_key(path, lambda: "wrong")
    comment, packed = SECRET.splitlines()
    path.write_text(f"{comment}\n{packed[:90]}{'B' if packed[90] == 'A' else 'A'}{packed[91:]}\n")
    with pytest.raises(FerEdgeError, match="is damaged"):
        read_secret_key(path, _no_password)


@pytest.mark.parametrize("content", [b"", b"RWQ\n", PUBLIC.encode()[:60], b"\xff\xfe", b"a\n" * 9])
def test_what_is_no_key_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.pub"
    path.write_bytes(content)
    with pytest.raises(FerEdgeError, match="is not a minisign public key"):
        read_public_key(path)
    with pytest.raises(FerEdgeError, match="is not a minisign secret key"):
        read_secret_key(path, _no_password)


def test_a_missing_key_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(FerEdgeError, match="cannot read the key") as caught:
        read_public_key(tmp_path / "none.pub")
    assert "keygen" in caught.value.hint


def test_a_key_file_cannot_ask_for_all_memory(tmp_path: Path) -> None:
    path = tmp_path / "greedy.key"
    write_secret_key(path, new_key(), "x", **CHEAP)
    import base64
    import struct

    comment, packed = path.read_text().splitlines()
    raw = bytearray(base64.b64decode(packed))
    raw[38:54] = struct.pack("<QQ", 1 << 25, 1 << 40)
    path.write_text(f"{comment}\n{base64.b64encode(raw).decode()}\n")
    with pytest.raises(FerEdgeError, match="too much memory"):
        read_secret_key(path, lambda: "x")


def test_without_cryptography_the_extra_to_install_is_named(
    secret: SecretKey, public: PublicKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    signature = parse_signature(SIGNED.encode())
    for use in (
        lambda: signature.is_of(MESSAGE, public),
        lambda: secret.sign(MESSAGE, "x"),
        new_key,
    ):
        with pytest.raises(FerEdgeError, match="'cryptography', which is not installed") as caught:
            use()
        assert "fer-edge[device]" in caught.value.hint


# --- against the stock command --------------------------------------------------------------------


def _run(command: str, *arguments: str | Path, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [command, *map(str, arguments)], input=typed, capture_output=True, text=True, timeout=60
    )


def test_minisign_checks_what_we_signed(minisign: str, tmp_path: Path) -> None:
    key, message = new_key(), tmp_path / "message"
    message.write_bytes(MESSAGE)
    (tmp_path / "my.pub").write_text(key.public.to_text())
    (tmp_path / "message.minisig").write_bytes(key.sign(MESSAGE, "version:3"))
    done = _run(minisign, "-Vm", message, "-p", tmp_path / "my.pub")
    assert done.returncode == 0, done.stderr
    assert "Trusted comment: version:3" in done.stdout
    message.write_bytes(MESSAGE + b"!")
    assert _run(minisign, "-Vm", message, "-p", tmp_path / "my.pub").returncode == 1


@pytest.mark.parametrize("password", ["", "correct horse"])
def test_minisign_signs_with_our_secret_key(minisign: str, tmp_path: Path, password: str) -> None:
    key, message = new_key(), tmp_path / "message"
    message.write_bytes(MESSAGE)
    write_secret_key(tmp_path / "my.key", key, password, **CHEAP)
    done = _run(minisign, "-Sm", message, "-s", tmp_path / "my.key", typed=password + "\n")
    assert done.returncode == 0, done.stderr
    signature = parse_signature((tmp_path / "message.minisig").read_bytes())
    assert signature.is_of(MESSAGE, key.public)


def test_we_sign_with_a_key_that_minisign_made(minisign: str, tmp_path: Path) -> None:
    names = ("-p", tmp_path / "their.pub", "-s", tmp_path / "their.key")
    assert _run(minisign, "-GW", *names).returncode == 0
    key = read_secret_key(tmp_path / "their.key", _no_password)
    assert key.public == read_public_key(tmp_path / "their.pub")
    (tmp_path / "message").write_bytes(MESSAGE)
    (tmp_path / "message.minisig").write_bytes(key.sign(MESSAGE, "timestamp:1"))
    done = _run(minisign, "-Vm", tmp_path / "message", "-p", tmp_path / "their.pub")
    assert done.returncode == 0, done.stderr
