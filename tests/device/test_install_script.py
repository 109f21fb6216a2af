"""Parts of device/install.sh by themselves; tests/slow/service runs it on a real system."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "device" / "install.sh"

_STUBS = {
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
    for name, body in _STUBS.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    functions = SCRIPT.read_text().removesuffix('main "$@"\n')
    (tmp_path / "functions.sh").write_text(f"{functions}\ninstall_packages\n")
    subprocess.run(
        ["bash", "functions.sh"],
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "UPDATE": update},
        check=True,
    )
    assert (tmp_path / "done").read_text().splitlines() == done
