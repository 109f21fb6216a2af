"""Who may run what: signatures, trusted keys, and the commands around them."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from commands import fer_edge
from keys import Signer
from maker import Maker

from fer_edge import shipped
from fer_edge.bundle import INT8_TFLITE, MANIFEST, SIGNATURE, open_bundle, trust
from fer_edge.bundle.archive import pack, unpack
from fer_edge.bundle.minisign import read_secret_key
from fer_edge.bundle.signing import extract, sign_bundle
from fer_edge.device.classifier import open_classifier
from fer_edge.errors import FerEdgeError

pytest.importorskip("cryptography")


@pytest.fixture
def signed(bundle: Path, ours: Signer, tmp_path: Path) -> Path:
    return ours.sign(bundle, tmp_path / "signed.fer", version=7)


def test_a_signed_bundle_opens_with_its_key_and_says_who_signed(signed: Path, ours: Signer) -> None:
    bundle = open_bundle(signed, keys=[ours.key.public])
    assert bundle.signer == ours.key.public
    assert bundle.version == 7
    assert bundle.signature is not None
    assert bundle.signature.key_id == ours.key.public.id


def test_what_came_with_the_package_is_trusted_beside_the_configured_keys(
    bundle: Path, ours: Signer, theirs: Signer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (trust.user_keys() / "ours.pub").write_text(ours.public.read_text())
    (package / "release.pub").write_text(theirs.public.read_text())
    monkeypatch.setattr(shipped, "FOLDER", package)
    model = theirs.sign(bundle, package / "model.fer", version=1)
    assert open_classifier(model).verified
    assert open_bundle(model).signer == theirs.key.public
    elsewhere = theirs.sign(bundle, tmp_path / "model.fer", version=1)
    with pytest.raises(FerEdgeError, match="not trusted here"):
        open_classifier(elsewhere)
    with pytest.raises(FerEdgeError, match="not trusted here") as caught:
        open_bundle(model, keys=[ours.key.public])
    assert str(package / "release.pub") in caught.value.hint
    (package / "unsigned.fer").write_bytes(bundle.read_bytes())
    with pytest.raises(FerEdgeError, match="is not signed"):
        open_classifier(package / "unsigned.fer")


def test_signing_changes_nothing_but_the_signature(signed: Path, bundle: Path) -> None:
    after = unpack(signed.read_bytes())
    assert after.pop(SIGNATURE)
    assert after == unpack(bundle.read_bytes())


def test_signing_again_replaces_the_signature(signed: Path, theirs: Signer) -> None:
    again = sign_bundle(signed, theirs.key, version=9)
    assert again.path == signed
    assert again.version == 9
    assert again.signer == theirs.key.public


def test_a_version_is_the_time_unless_it_is_given(
    bundle: Path, ours: Signer, tmp_path: Path
) -> None:
    import time

    before = int(time.time())
    version = sign_bundle(bundle, ours.key, target=tmp_path / "x.fer").version
    assert version is not None
    assert before <= version <= time.time()
    with pytest.raises(FerEdgeError, match="a version is from 0"):
        sign_bundle(bundle, ours.key, target=tmp_path / "y.fer", version=-1)
    assert not (tmp_path / "y.fer").exists()


@pytest.mark.parametrize("opened", [open_bundle, open_classifier])
def test_where_a_key_is_trusted_nothing_else_runs(
    opened: Any, bundle: Path, signed: Path, ours: Signer, theirs: Signer, tmp_path: Path
) -> None:
    keys = [ours.key.public]
    opened(signed, keys=keys)
    with pytest.raises(FerEdgeError, match="is not signed; this machine takes") as caught:
        opened(bundle, keys=keys)
    assert "bundle sign" in caught.value.hint
    other = theirs.sign(bundle, tmp_path / "other.fer")
    with pytest.raises(FerEdgeError, match=f"is signed by {theirs.key.public.id}, which is not"):
        opened(other, keys=keys)
    opened(other, keys=[*keys, theirs.key.public])


def test_a_bundle_that_was_changed_after_it_was_signed_is_refused(
    signed: Path, ours: Signer, maker: Maker, tmp_path: Path
) -> None:
    other = unpack(maker.bundle("other.fer", name="other").read_bytes())
    forged = tmp_path / "forged.fer"
    forged.write_bytes(pack({**other, SIGNATURE: unpack(signed.read_bytes())[SIGNATURE]}))
    open_bundle(forged, keys=[])
    with pytest.raises(FerEdgeError, match=r"the signature of bundle .* is wrong: it was changed"):
        open_bundle(forged, keys=[ours.key.public])


def test_a_key_with_the_same_number_does_not_pass_for_the_trusted_one(
    bundle: Path, ours: Signer, theirs: Signer, tmp_path: Path
) -> None:
    from dataclasses import replace

    disguised = replace(
        theirs.key, public=replace(theirs.key.public, number=ours.key.public.number)
    )
    with pytest.raises(FerEdgeError):
        sign_bundle(bundle, disguised, target=tmp_path / "x.fer") and open_bundle(
            tmp_path / "x.fer", keys=[ours.key.public]
        )


def test_a_shipped_model_is_signed_by_its_name_into_a_file_that_can_be_written(
    bundle: Path,
    ours: Signer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    models, mine = tmp_path / "models", tmp_path / "mine"
    for folder in (models, mine):
        folder.mkdir()
    (models / "tiny.fer").write_bytes(bundle.read_bytes())
    monkeypatch.setattr(shipped, "FOLDER", models)
    monkeypatch.chdir(mine)
    monkeypatch.setattr("fer_edge.bundle.minisign.read_secret_key", lambda *given: ours.key)

    def complaint(*options: str) -> list[str]:
        assert fer_edge(monkeypatch, "bundle", "sign", "tiny", *options) == 2
        return capsys.readouterr().err.splitlines()

    assert complaint() == [
        "fer-edge: tiny comes with the package, signed by those who made it",
        "  → sign a copy: -o tiny.fer",
    ]
    assert complaint("-o", ".")[0] == "fer-edge: . is a folder"
    assert complaint("-o", "none/x.fer")[0] == "fer-edge: there is no folder none"
    assert not list(mine.iterdir())
    assert fer_edge(monkeypatch, "bundle", "sign", "tiny", "-o", "x.fer") == 0
    assert open_bundle(mine / "x.fer", keys=[ours.key.public]).signer is not None


@pytest.mark.parametrize("name", ["k.key", "k.pub", "face.png"])
def test_signing_writes_over_bundles_and_over_nothing_else(
    name: str,
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "face.png").write_bytes(b"a picture")
    assert fer_edge(monkeypatch, "bundle", "keygen", "-W", "-o", "k") == 0
    before, command = Path(name).read_bytes(), ("bundle", "sign", bundle, "-s", "k.key", "-o")
    capsys.readouterr()
    assert fer_edge(monkeypatch, *command, name) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"fer-edge: {name} exists already and is no bundle",
        "  → choose another name with -o",
    ]
    assert Path(name).read_bytes() == before
    for _ in range(2):
        assert fer_edge(monkeypatch, *command, "signed.fer") == 0


@pytest.mark.parametrize("comment", ["", "version:", "version:-1", "version:" + "9" * 9000, "x"])
def test_a_signature_without_a_usable_version_has_none(
    bundle: Path, ours: Signer, tmp_path: Path, comment: str
) -> None:
    members = unpack(bundle.read_bytes())
    members[SIGNATURE] = ours.key.sign(members[MANIFEST], comment)
    (tmp_path / "x.fer").write_bytes(pack(members))
    opened = open_bundle(tmp_path / "x.fer", keys=[ours.key.public])
    assert opened.version is None


def test_keys_are_configured_for_the_machine_or_for_the_user(
    bundle: Path, signed: Path, ours: Signer, configured: Path, tmp_path: Path
) -> None:
    open_bundle(bundle)
    for folder in (configured, trust.SYSTEM_KEYS):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "readme.txt").write_text("not a key")
        (folder / "ours.pub").write_text(ours.public.read_text())
        open_bundle(signed)
        with pytest.raises(FerEdgeError, match="is not signed"):
            open_bundle(bundle)
        (folder / "ours.pub").unlink()
    open_bundle(bundle)


@pytest.mark.parametrize("kind", ["key", "link", "key above"])
def test_a_key_where_the_folder_of_keys_should_be_is_not_passed_over(
    kind: str, bundle: Path, ours: Signer
) -> None:
    folder = trust.user_keys()
    folder.rmdir()
    if kind == "link":
        folder.symlink_to("nowhere")
    elif kind == "key":
        folder.write_text(ours.public.read_text())
    else:
        folder.parent.rmdir()
        folder.parent.write_text(ours.public.read_text())
    with pytest.raises(FerEdgeError, match="is no folder") as caught:
        open_bundle(bundle)
    assert str(folder) in caught.value.hint


def test_a_key_that_cannot_be_read_is_not_passed_over(
    signed: Path, configured: Path, ours: Signer
) -> None:
    (configured / "a.pub").write_text(ours.public.read_text())
    (configured / "b.pub").write_text("garbage")
    with pytest.raises(FerEdgeError, match=r"b\.pub is not a minisign public key"):
        open_bundle(signed)


def test_a_bare_model_does_not_run_where_bundles_must_be_signed(
    maker: Maker, ours: Signer, tmp_path: Path
) -> None:
    (tmp_path / "bare.tflite").write_bytes(maker.content)
    open_classifier(tmp_path / "bare.tflite", keys=[])
    with pytest.raises(FerEdgeError, match="is a bare model, which nobody signed"):
        open_classifier(tmp_path / "bare.tflite", keys=[ours.key.public])


def test_minisign_checks_what_was_extracted(
    signed: Path, ours: Signer, minisign: str, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    paths = extract(open_bundle(signed, keys=[]), folder)
    assert {path.name for path in paths} == set(unpack(signed.read_bytes()))
    command = [minisign, "-Vm", folder / MANIFEST, "-x", folder / SIGNATURE, "-p", ours.public]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "version:7" in done.stdout


def test_extract_writes_over_nothing_and_knows_its_members(signed: Path, tmp_path: Path) -> None:
    bundle, folder = open_bundle(signed, keys=[]), tmp_path / "out"
    assert extract(bundle, folder, [INT8_TFLITE]) == [folder / INT8_TFLITE]
    assert (folder / INT8_TFLITE).read_bytes() == bundle.read(INT8_TFLITE)
    with pytest.raises(FerEdgeError, match=r"tflite exists already"):
        extract(bundle, folder)
    assert len(list(folder.iterdir())) == 1
    with pytest.raises(FerEdgeError, match=r"holds no \.\./x"):
        extract(bundle, folder, ["../x"])


# --- the commands ---------------------------------------------------------------------------------


def test_keygen_sign_and_verify_work_together(
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    key, target = tmp_path / "release", tmp_path / "x.fer"
    assert fer_edge(monkeypatch, "bundle", "keygen", "-W", "-o", key) == 0
    secret = tmp_path / "release.key"
    assert read_secret_key(secret, lambda: "").public.id in capsys.readouterr().out
    options = ("--secret-key", secret, "--version", "3", "-o", target)
    assert fer_edge(monkeypatch, "bundle", "sign", bundle, *options) == 0
    capsys.readouterr()
    checked = ("bundle", "verify", target, "--key", tmp_path / "release.pub")
    assert fer_edge(monkeypatch, *checked, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["signature"]["checked"]
    assert found["signature"]["version"] == 3
    assert found["replayed"][INT8_TFLITE] <= found["golden_tolerance"]
    assert found["exact"] == [INT8_TFLITE]
    assert fer_edge(monkeypatch, *checked) == 0
    printed = capsys.readouterr().out
    assert "signature: by" in printed
    assert f"{INT8_TFLITE} gives the recorded bits by the reference kernels" in printed
    assert fer_edge(monkeypatch, "bundle", "keygen", "-W", "-o", key) == 2
    assert "exists already" in capsys.readouterr().err


def test_a_password_comes_from_a_file_where_nobody_can_type(
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from fer_edge.bundle.minisign import new_key, write_secret_key

    pytest.importorskip("cryptography")
    write_secret_key(tmp_path / "k", new_key(), "secret", operations=1 << 15, memory=1 << 24)
    command = ("bundle", "sign", bundle, "-s", tmp_path / "k", "-o", tmp_path / "x.fer")
    for written, code in (("secret\n", 0), ("wrong", 2)):
        (tmp_path / "password").write_text(written)
        password = ("--password-file", tmp_path / "password")
        assert fer_edge(monkeypatch, *command, *password) == code
    assert "wrong password" in capsys.readouterr().err
    assert fer_edge(monkeypatch, *command, "--password-file", tmp_path / "none") == 2
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert fer_edge(monkeypatch, *command) == 2
    assert "--password-file" in capsys.readouterr().err


def test_a_password_is_typed_twice_for_a_new_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = iter(["one", "two"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(typed))
    assert fer_edge(monkeypatch, "bundle", "keygen", "-o", tmp_path / "k") == 2
    assert "the passwords differ" in capsys.readouterr().err
    assert not list(tmp_path.glob("k.*"))


def test_run_refuses_an_unsigned_bundle_in_one_line(
    bundle: Path,
    ours: Signer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import cv2
    import numpy as np

    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "a.png"), np.zeros((64, 64), np.uint8))
    command = ("run", bundle, "--images", tmp_path / "pictures")
    assert fer_edge(monkeypatch, *command) == 0
    capsys.readouterr()
    assert fer_edge(monkeypatch, *command, "--key", ours.public) == 2
    first, second = capsys.readouterr().err.strip().splitlines()
    assert "is not signed" in first
    assert second.startswith("  → ")


@pytest.mark.parametrize(
    "command", ["show", "verify", "sign", "keygen", "extract", "install", "rollback", "schema"]
)
def test_every_command_has_an_example_in_its_help(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fer_edge(monkeypatch, "bundle", command, "--help") == 0
    assert f"Example: fer-edge bundle {command}" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["show", "verify", "sign", "extract", "install"])
def test_what_is_no_bundle_is_one_line_for_every_command(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("cryptography")
    monkeypatch.chdir(tmp_path)
    assert fer_edge(monkeypatch, "bundle", "keygen", "-W") == 0
    (tmp_path / "bad.fer").write_bytes(b"no bundle at all, but more than 22 bytes")
    before = set(tmp_path.iterdir())
    for name in ("bad.fer", "none.fer", "."):
        capsys.readouterr()
        where = ["--to", "installed"] if command == "install" else []
        assert fer_edge(monkeypatch, "bundle", command, name, *where) == 2
        wrong, remedy = capsys.readouterr().err.strip().splitlines()
        assert wrong.startswith("fer-edge: ")
        assert remedy.startswith("  → ")
    assert set(tmp_path.iterdir()) - before <= {tmp_path / "installed"}
