"""Parts of device/install.sh by themselves; tests/slow/service runs it on a real system."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "device" / "install.sh"

PROJECT = SCRIPT.parents[1]

_APT = {
    "python3": "exit 1",  # no picamera2
    "dpkg-query": "case $3 in python3-picamera2) ;; *) printf installed ;; esac",
    "apt-cache": "test -e lists",
    "apt-get": 'echo "$1 ${!#}" >>done; if [[ $1 == update ]]; then $UPDATE; fi',
}


@pytest.mark.parametrize(
    ("update", "done"),
    [
        ("touch lists", ["update -qq", "install python3-picamera2"]),
        ("true", ["update -qq"]),  # plain Debian has none
        ("false", ["update -qq"]),  # no network, and all else is there
    ],
)
def test_a_fresh_cards_apt_is_updated_before_it_is_asked_for_the_cameras_library(
    tmp_path, update, done
):
    _call(tmp_path, _APT, "install_packages", UPDATE=update)
    assert (tmp_path / "done").read_text().splitlines() == done


def _call(folder: Path, stubs: dict[str, str], call: str, **environment: str) -> str:
    """Run one of the script's functions among commands that are made up; returns what it printed.

    The script lies in the folder ``device`` of a checkout that has one file.
    """
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    for name, body in stubs.items():
        (programs / name).write_text(f"#!/bin/bash\n{body}\n")
        (programs / name).chmod(0o755)
    device = folder / "checkout" / "device"
    device.mkdir(parents=True, exist_ok=True)
    (device.parent / "fer_edge").mkdir(exist_ok=True)
    for name in ("fer_edge/a.py", "pyproject.toml", "README.md", "LICENSE", "device/trixie.txt"):
        (device.parent / name).touch()
    (device / "build.txt").touch()
    functions = SCRIPT.read_text().removesuffix('main "$@"\n')
    places = ("program", "pending", "command")
    functions += "\n".join([*(f"{place}={folder}/{place}" for place in places), call, ""])
    (device / "functions.sh").write_text(functions)
    return subprocess.run(
        ["bash", device / "functions.sh"],
        cwd=folder,
        env=os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"} | environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


_PYTHON = {
    # makes an environment whose python writes down what it is asked for
    "python3": """mkdir -p "${!#}/bin"
for name in python fer-edge; do
    printf '#!/bin/bash\necho "$*" >>asked\n' >"${!#}/bin/$name"
    chmod +x "${!#}/bin/$name"
done""",
    "df": "echo 1000000",
    "sync": "echo sync: $(find . -name complete) >>asked",
}


def _installed(folder: Path, words: str) -> list[str]:
    """What pip and sync were asked for by an installation; pip without its options."""
    (folder / "asked").unlink(missing_ok=True)
    _call(folder, _PYTHON, f"install_program trixie {words}")
    asked = (folder / "asked").read_text().splitlines() if (folder / "asked").exists() else []
    asked = [line for line in asked if line.startswith(("-m pip", "sync"))]
    return [re.sub(r"^.*--root-user-action ignore ", "", line) for line in asked]


def test_the_checkout_is_installed_unless_a_wheel_or_a_version_is_named(tmp_path):
    checkout = tmp_path / "checkout"
    pins, tools, built = _installed(tmp_path, "'' ''")[:3]
    assert pins == f"--require-hashes -r {checkout}/device/trixie.txt"
    assert tools.endswith(f"/tools --require-hashes -r {checkout}/device/build.txt")
    assert built == f"--no-index --no-build-isolation {checkout}"
    assert _installed(tmp_path, "'' ''") == []  # is there already
    (checkout / "fer_edge" / "a.py").write_text("changed")
    assert built in _installed(tmp_path, "'' ''")
    assert _installed(tmp_path, "'' 0.2.0")[1] == "fer-edge==0.2.0"
    (tmp_path / "a.whl").touch()
    assert _installed(tmp_path, "a.whl ''")[1] == f"{tmp_path}/a.whl"


def test_what_an_installation_wrote_is_on_the_card_before_it_counts_as_complete(tmp_path):
    first, second = (line for line in _installed(tmp_path, "'' ''") if line.startswith("sync"))
    assert first == "sync:"
    assert second.endswith("/complete")


def test_what_the_checkout_is_built_with_is_pinned():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    lines = (SCRIPT.parent / "build.in").read_text().splitlines()
    assert [line for line in lines if line[0] != "#"] == project["build-system"]["requires"]
    pinned = re.findall(r"^[\w.-]+==\S+", (SCRIPT.parent / "build.txt").read_text(), re.MULTILINE)
    locked = (PROJECT / "requirements.txt").read_text()
    assert pinned
    assert all(f"{pin} \\\n" in locked for pin in pinned)
