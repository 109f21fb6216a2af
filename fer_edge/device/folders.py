"""Where a device keeps what is fetched and installed: for the whole machine, or for one user."""

from __future__ import annotations

import os
import stat
from pathlib import Path

MACHINE = Path("/var/lib/fer-edge")
"""What root fetches and installs, for every user of the machine, the service's included."""


def data_folder() -> Path:
    """Where things are put: for the whole machine as root, else for this user."""
    if os.geteuid() == 0:
        return MACHINE
    data = os.environ.get("XDG_DATA_HOME", "")
    # the XDG specification has relative paths ignored; a service may have no home at all
    home = "~/.local/share"
    return Path(data if data.startswith("/") else os.path.expanduser(home)) / "fer-edge"  # noqa: PTH111


def share(path: Path) -> None:
    """Let every user read what lies in the machine's folder, whatever umask it was made under.

    Raises:
        OSError: it belongs to somebody else.
    """
    if not path.is_relative_to(MACHINE):
        return
    for part in (path, *path.parents):
        mode = stat.S_IMODE(part.stat().st_mode)
        readable = mode | (0o755 if part.is_dir() else 0o644)
        if readable != mode:
            part.chmod(readable)
        if part == MACHINE:
            return
