"""A device has the old bundle or the new one, whole, whatever happens while it is exchanged."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from installed import name_of, names_in, spoil
from maker import Maker

from fer_edge.bundle import trust
from fer_edge.bundle.minisign import SecretKey, new_key
from fer_edge.bundle.signing import sign_bundle
from fer_edge.cli import main
from fer_edge.device import folders
from fer_edge.device import install as installing
from fer_edge.device.doctor import examine
from fer_edge.device.install import (
    CURRENT,
    default_folder,
    install,
    is_installation,
    open_installed,
    rollback,
)
from fer_edge.errors import FerEdgeError
from fer_edge.shipped import DETECTOR_FILE, FOLDER


def test_the_first_installation_makes_the_folder(folder: Path, bundles: list[Path]) -> None:
    assert not is_installation(folder)
    state = install(bundles[0], folder)
    assert (state.name, state.previous, state.version) == ("first", None, None)
    assert state.current.read_bytes() == bundles[0].read_bytes()
    assert (folder / CURRENT).resolve() == state.current
    assert is_installation(folder)


def test_the_bundle_before_is_kept_and_those_before_that_are_not(
    folder: Path, bundles: list[Path]
) -> None:
    for bundle in bundles:
        state = install(bundle, folder)
    assert name_of(folder / CURRENT) == "third"
    assert state.previous is not None
    assert name_of(state.previous) == "second"
    assert names_in(folder) == ["000002.fer", "000003.fer", CURRENT]


def test_the_same_bundle_is_not_installed_twice(folder: Path, bundles: list[Path]) -> None:
    install(bundles[0], folder)
    state = install(bundles[1], folder)
    again = install(bundles[1], folder)
    assert not again.changed
    assert (again.current, again.previous) == (state.current, state.previous)


def test_rollback_goes_back_once_and_an_installation_goes_on_from_there(
    folder: Path, bundles: list[Path]
) -> None:
    install(bundles[0], folder)
    install(bundles[1], folder)
    state = rollback(folder)
    assert (state.name, state.previous) == ("first", None)
    with pytest.raises(FerEdgeError, match="no bundle before the current one"):
        rollback(folder)
    state = install(bundles[2], folder)
    assert state.previous is not None
    assert (state.name, name_of(state.previous)) == ("third", "first")


def test_what_was_rolled_back_can_be_installed_again_from_where_it_lies(
    folder: Path, bundles: list[Path], tmp_path: Path
) -> None:
    install(bundles[0], folder)
    later = install(bundles[1], folder).current
    rollback(folder)
    (tmp_path / "none.fer").write_bytes(b"no bundle")
    with pytest.raises(FerEdgeError):
        install(tmp_path / "none.fer", folder)
    state = install(later, folder)
    assert state.name == "second"
    assert names_in(folder) == ["000001.fer", "000002.fer", CURRENT]


def test_rollback_without_an_installation_says_how_to_make_one(folder: Path) -> None:
    with pytest.raises(FerEdgeError, match="no bundle is installed") as caught:
        rollback(folder)
    assert "bundle install" in caught.value.hint
    assert not folder.exists()


def test_a_bundle_that_fails_its_self_test_is_not_installed(
    folder: Path, bundles: list[Path], maker: Maker
) -> None:
    install(bundles[0], folder)
    before = names_in(folder)
    wrong = maker.bundle("wrong.fer", golden_shift=1)
    with pytest.raises(FerEdgeError, match="computes something else"):
        install(wrong, folder)
    damaged = bytearray(bundles[1].read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (folder.parent / "damaged.fer").write_bytes(damaged)
    with pytest.raises(FerEdgeError, match="is damaged"):
        install(folder.parent / "damaged.fer", folder)
    assert names_in(folder) == before
    assert name_of(folder / CURRENT) == "first"


def test_what_is_no_bundle_is_not_copied_to_the_card(folder: Path, tmp_path: Path) -> None:
    with (tmp_path / "large.fer").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(FerEdgeError, match="a bundle has at most"):
        install(tmp_path / "large.fer", folder)
    assert names_in(folder) == []


# --- versions and keys ----------------------------------------------------------------------------


def _signed(bundle: Path, key: SecretKey, target: Path, version: int) -> Path:
    sign_bundle(bundle, key, target=target, version=version)
    return target


def test_a_downgrade_is_refused_unless_it_is_asked_for(
    folder: Path, bundles: list[Path], key: SecretKey, tmp_path: Path
) -> None:
    old, new = (
        _signed(bundles[0], key, tmp_path / f"{version}.fer", version) for version in (3, 4)
    )
    install(new, folder)
    said_of = ((old, "has version 3; 4 of first is installed"), (bundles[0], "no version"))
    for bundle, said in said_of:
        with pytest.raises(FerEdgeError, match=said) as caught:
            install(bundle, folder)
        assert "--allow-downgrade" in caught.value.hint
        assert names_in(folder) == ["000001.fer", CURRENT]
    assert install(old, folder, allow_downgrade=True).version == 3
    assert rollback(folder).version == 4


def test_versions_of_bundles_with_other_names_do_not_compare(
    folder: Path, bundles: list[Path], key: SecretKey, tmp_path: Path
) -> None:
    older, newer = (
        _signed(bundles[0], key, tmp_path / f"{version}.fer", version) for version in (8, 9)
    )
    other = _signed(bundles[1], key, tmp_path / "other.fer", 1)
    install(newer, folder)
    assert install(other, folder).name == "second"
    with pytest.raises(FerEdgeError, match="9 of first is installed"):
        install(older, folder)
    assert install(newer, folder).name == "first"
    assert install(bundles[2], folder).name == "third"


def test_what_came_with_the_package_is_installed_beside_a_trusted_key_and_runs(
    folder: Path,
    bundles: list[Path],
    key: SecretKey,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    makers = new_key()
    package, trusted = tmp_path / "package", trust.user_keys()
    for place, public in ((package / "release.pub", makers), (trusted / "ours.pub", key)):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(public.public.to_text())
    monkeypatch.setattr("fer_edge.shipped.FOLDER", package)
    for number, bundle in enumerate(bundles[:2]):
        install(_signed(bundle, makers, package / f"{number}.fer", 1), folder)
    assert open_installed(folder).signer == makers.public.id
    assert rollback(folder).name == "first"
    elsewhere = _signed(bundles[2], makers, tmp_path / "elsewhere.fer", 1)
    with pytest.raises(FerEdgeError, match="is not trusted here") as caught:
        install(elsewhere, folder)
    assert str(package / "release.pub") in caught.value.hint
    with pytest.raises(FerEdgeError, match="is not trusted here"):
        install(package / "1.fer", folder, keys=[key.public])


def test_what_is_refused_is_named_and_not_its_copy(folder: Path, maker: Maker) -> None:
    wrong = maker.bundle("wrong.fer", golden_shift=1)
    detector = FOLDER / DETECTOR_FILE
    for bundle in (wrong, detector):
        with pytest.raises(FerEdgeError, match=str(bundle)) as caught:
            install(bundle, folder)
        assert str(folder) not in str(caught.value)


def test_a_copy_that_the_card_did_not_keep_is_not_installed(
    folder: Path, bundles: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installing, "_forget_cached", spoil)
    with pytest.raises(FerEdgeError, match="the card or the disk fails"):
        install(bundles[0], folder)
    assert names_in(folder) == []


def test_with_a_trusted_key_nothing_else_is_installed(
    folder: Path, bundles: list[Path], key: SecretKey, tmp_path: Path
) -> None:
    signed = _signed(bundles[0], key, tmp_path / "signed.fer", 1)
    foreign = _signed(bundles[1], new_key(), tmp_path / "foreign.fer", 2)
    keys = [key.public]
    assert install(signed, folder, keys=keys).version == 1
    for bundle in (bundles[1], foreign):
        with pytest.raises(FerEdgeError, match=r"is not signed|is not trusted"):
            install(bundle, folder, keys=keys)
    assert name_of(folder / CURRENT) == "first"


def test_bundles_are_installed_for_the_machine_by_root_and_else_for_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installing.os, "geteuid", lambda: 0)
    assert default_folder() == Path("/var/lib/fer-edge/bundles")
    monkeypatch.setattr(installing.os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "fer-edge" / "bundles"


def test_whatever_roots_umask_is_every_user_reads_what_is_installed_for_the_machine(
    bundles: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = tmp_path / "fer-edge"
    folder = machine / "bundles"
    monkeypatch.setattr(folders, "MACHINE", machine)
    umask = os.umask(0o077)
    try:
        installed = [install(bundle, folder).current for bundle in bundles[:2]]
        install(bundles[0], tmp_path / "mine")
    finally:
        os.umask(umask)
    modes = [path.stat().st_mode & 0o777 for path in (machine, folder, *installed)]
    assert modes == [0o755, 0o755, 0o644, 0o644]
    assert (tmp_path / "mine").stat().st_mode & 0o777 == 0o700
    # what an earlier installation closed is opened by the next
    folder.chmod(0o700)
    installed[1].chmod(0o600)
    assert not install(bundles[1], folder).changed
    assert folder.stat().st_mode & 0o777 == 0o755
    assert installed[1].stat().st_mode & 0o777 == 0o644


def test_a_closed_folder_is_named_and_how_to_open_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_symlink", closed)
    with pytest.raises(FerEdgeError, match=f"cannot read {folder}: permission denied") as caught:
        is_installation(folder)
    assert caught.value.hint.endswith(f"sudo chmod a+rx {folder.parent} {folder}")
    found = next(finding for finding in examine().findings if finding.topic == "bundles")
    assert (found.state, "sudo chmod" in found.remedy) == ("warning", True)


def test_two_installations_at_a_time_do_not_meet(folder: Path, bundles: list[Path]) -> None:
    import fcntl

    install(bundles[0], folder)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(FerEdgeError, match="another installation"):
            install(bundles[1], folder)
    assert install(bundles[1], folder).name == "second"


def test_a_full_disk_leaves_the_installed_bundle(
    full_disk: Path, bundles: list[Path], maker: Maker
) -> None:
    folder = full_disk / "installed"
    install(bundles[0], folder)
    (full_disk / "ballast").write_bytes(bytes(235_000))
    with pytest.raises(FerEdgeError, match="no space left"):
        install(bundles[1], folder)
    assert names_in(folder) == ["000001.fer", CURRENT]
    assert name_of(folder / CURRENT) == "first"


@pytest.mark.parametrize("place", ["file", "below a file"])
def test_a_folder_that_cannot_be_made_is_one_line(
    place: str, bundles: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / ("" if place == "file" else "x")
    with pytest.raises(FerEdgeError, match="cannot write"):
        install(bundles[0], target)


def test_a_link_to_elsewhere_is_not_followed(folder: Path, bundles: list[Path]) -> None:
    install(bundles[0], folder)
    (folder / CURRENT).unlink()
    (folder / CURRENT).symlink_to(os.devnull)
    with pytest.raises(FerEdgeError, match="not to an installed bundle"):
        install(bundles[1], folder)
    with pytest.raises(FerEdgeError, match="not to an installed bundle"):
        open_installed(folder)
    assert "000001.fer" in names_in(folder)


def test_the_commands_install_and_go_back(
    folder: Path, bundles: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def fer_edge(*arguments: str | Path) -> str:
        monkeypatch.setattr(sys, "argv", ["fer-edge", "bundle", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        shown: str = capsys.readouterr().out
        return shown

    assert "first: installed as" in fer_edge("install", bundles[0], "--to", folder)
    state = json.loads(fer_edge("install", bundles[1], "--to", folder, "--json"))
    assert (state["name"], state["previous"]) == ("second", str(folder / "000001.fer"))
    assert "is installed already" in fer_edge("install", bundles[1], "--to", folder)
    assert "first: installed as" in fer_edge("rollback", "--to", folder)


def test_where_the_service_is_installed_it_is_said_that_it_starts_again(
    folder: Path, bundles: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(installing, "SYSTEM_FOLDER", folder)
    monkeypatch.setattr(installing, "SERVICE", folder / "unit")
    installing.print_installed(install(bundles[0], folder))
    assert "systemctl" not in capsys.readouterr().out
    (folder / "unit").touch()
    installing.print_installed(install(bundles[1], folder))
    assert "sudo systemctl restart fer-edge" in capsys.readouterr().out
