"""The package's own key, which what comes with the package is always checked with."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from commands import fer_edge
from keys import Signer

from fer_edge import shipped
from fer_edge.bundle import MANIFEST, SIGNATURE, open_bundle, trust
from fer_edge.bundle.archive import pack, unpack
from fer_edge.cli import main
from fer_edge.errors import FerEdgeError

pytest.importorskip("cryptography")


@pytest.fixture
def package(tmp_path: Path, theirs: Signer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of theirs, in place of ours."""
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "release.pub").write_text(theirs.public.read_text())
    monkeypatch.setattr(shipped, "FOLDER", folder)
    return folder


def test_the_packages_key_is_checked_where_nobody_asked_for_one(
    bundle: Path, package: Path, ours: Signer, theirs: Signer, tmp_path: Path
) -> None:
    model = theirs.sign(bundle, package / "model.fer")
    copy = tmp_path / "copy.fer"
    copy.write_bytes(model.read_bytes())
    for path in (model, copy):
        assert open_bundle(path).signer == theirs.key.public
    assert open_bundle(ours.sign(bundle, tmp_path / "own.fer")).signer is None
    assert open_bundle(bundle).signer is None


def test_what_was_changed_after_the_package_signed_it_is_refused(
    bundle: Path, package: Path, theirs: Signer
) -> None:
    model = theirs.sign(bundle, package / "model.fer")
    members = unpack(model.read_bytes())
    members[SIGNATURE] = theirs.key.sign(members[MANIFEST] + b" ", "version:1")
    model.write_bytes(pack(members))
    with pytest.raises(FerEdgeError, match="it was changed after"):
        open_bundle(model)


def test_verify_and_show_say_that_the_signature_of_what_ships_was_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("verify", "show"):
        monkeypatch.setattr(sys, "argv", ["fer-edge", "bundle", command, "edge-nano", "--json"])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        signature = json.loads(capsys.readouterr().out)["signature"]
        assert signature["checked"]
    monkeypatch.setattr(sys, "argv", ["fer-edge", "bundle", "verify", "edge-nano"])
    with pytest.raises(SystemExit):
        main()
    assert "(checked, this package's key)" in capsys.readouterr().out


def test_what_nothing_installed_can_check_is_not_said_to_be_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert fer_edge(monkeypatch, "bundle", "show", "edge-nano") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "(not checked: 'cryptography' is not installed)" in shown
    assert fer_edge(monkeypatch, "bundle", "verify", "edge-nano") == 2
    message, remedy = capsys.readouterr().err.splitlines()
    assert "'cryptography', which is not installed" in message
    assert "fer-edge[device]" in remedy


@pytest.mark.parametrize("command", ["verify", "evaluate"])
@pytest.mark.parametrize("release", [True, False])
def test_the_remedy_for_a_key_that_is_not_trusted_is_one_that_the_command_takes(
    command: str,
    release: bool,
    bundle: Path,
    package: Path,
    ours: Signer,
    theirs: Signer,
    configured: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = theirs.sign(bundle, tmp_path / "model.fer")
    if not release:
        (package / "release.pub").unlink()

    def remedy(*options: str | Path) -> str:
        words = ("bundle", command) if command == "verify" else (command,)
        assert fer_edge(monkeypatch, *words, model, *options) == 2
        message, remedy = capsys.readouterr().err.splitlines()
        assert "which is not trusted here" in message
        return remedy

    file = str(package / "release.pub") if release else ".pub"
    if command == "verify":
        named = remedy("--key", ours.public)
        assert "--key" in named
        assert file in named
        assert str(trust.SYSTEM_KEYS) not in named, "which does not count beside --key"
    (configured / "ours.pub").write_text(ours.public.read_text())
    put = remedy()
    assert file in put
    assert str(trust.SYSTEM_KEYS) in put
    assert "--key" not in put


def test_verify_with_a_key_that_did_not_sign_refuses_what_ships(
    ours: Signer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["fer-edge", "bundle", "verify", "edge-nano", "--key", str(ours.public)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    message, remedy = capsys.readouterr().err.splitlines()
    assert "which is not trusted here" in message
    assert str(shipped.release_key()) in remedy
