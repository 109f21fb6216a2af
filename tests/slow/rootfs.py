"""A small Debian 13 that stands for Raspberry Pi OS: it boots, and it has a camera.

Debian's backports have libcamera with the *virtual* pipeline handler built in, which plays
pictures; the real picamera2 comes from pip, as plain Python. No camera, no kernel module and no
compiler is needed, but root is.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "debian"
"""Where it is kept; 1.1 GB."""

SUITE = "trixie"
FROM_APT = [
    "ca-certificates",
    "python3-minimal",
    "python3-venv",
    "python3-numpy",
    "python3-pil",
    "python3-piexif",
    "python3-prctl",
    "systemd-sysv",
]
FROM_BACKPORTS = ("python3-libcamera", "libcamera-ipa")
PICAMERA2 = ("picamera2==0.3.38", "simplejpeg==1.9.0", "videodev2==0.0.4")
"""Without dependencies: two of them have no wheels, and are for what no test does."""

VIRTUAL_CAMERA = """\
%YAML 1.1
---
"FaceCam":
  supported_formats:
  - width: 640
    height: 480
    frame_rates: [15, 30]
  frames:
    path: "/opt/pictures/"
  location: "CameraLocationExternal"
  model: "pictures"
"""
"""Every picture in the folder, 0.jpg, 1.jpg, …, is shown for four frames, over and over."""


def ensure_rootfs() -> Path:
    """Return the folder of a rootfs that is up to date; made in about three minutes if need be."""
    if os.geteuid() != 0:
        raise PermissionError("the small Debian is entered by chroot, and that needs root")
    wheels = _device_requirements()
    recipe = hashlib.sha256(Path(__file__).read_bytes() + "\n".join(wheels).encode()).hexdigest()
    folder = CACHE / "rootfs"
    mark = folder / "made-from"
    if mark.is_file() and mark.read_text() == recipe:
        return folder
    shutil.rmtree(CACHE, ignore_errors=True)
    _make(folder, wheels)
    mark.write_text(recipe)
    return folder


def command(rootfs: Path, *words: str) -> list[str]:
    """A command line that runs inside; its process is the one that was started, for signals."""
    enter = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
    return ["unshare", "-m", "--propagation", "private", "sh", "-c", enter, str(rootfs), *words]


def _make(folder: Path, wheels: list[str]) -> None:
    if shutil.which("debootstrap") is None:
        _run("apt-get", "update", "-q")
        _run("apt-get", "install", "-qy", "--no-install-recommends", "debootstrap")
    mirror = _mirror()
    folder.mkdir(parents=True)
    include = ",".join(FROM_APT)
    _run("debootstrap", "--variant=minbase", f"--include={include}", SUITE, str(folder), mirror)
    # the same way out as this machine's: certificates, names, package index
    for name in ("etc/ssl/certs/ca-certificates.crt", "etc/resolv.conf", "etc/pip.conf"):
        if Path("/", name).exists():
            shutil.copyfile(Path("/", name), folder / name)
    source = f"deb {mirror} {SUITE}-backports main\n"
    (folder / "etc/apt/sources.list.d/backports.list").write_text(source)
    inside = ("chroot", str(folder))
    apt = (*inside, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qy")
    _run(*apt, "update")
    _run(*apt, "install", "--no-install-recommends", "-t", f"{SUITE}-backports", *FROM_BACKPORTS)
    _run(*inside, "python3", "-m", "venv", "--system-site-packages", "/opt/venv")
    pip = (*inside, "/opt/venv/bin/pip", "install", "-q", "--only-binary=:all:", "--no-cache-dir")
    _run(*pip, "--no-deps", *PICAMERA2)
    (folder / "opt/constraints.txt").write_text(_constraints())
    _run(*pip, "-c", "/opt/constraints.txt", *wheels)
    camera = folder / "usr/share/libcamera/pipeline/virtual/virtual.yaml"
    camera.parent.mkdir(parents=True, exist_ok=True)
    camera.write_text(VIRTUAL_CAMERA)


def _run(*words: str) -> None:
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} failed:\n{done.stdout[-3000:]}")


def _mirror() -> str:
    """Where this machine's own apt gets Debian from."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = [line for line in listed.stdout.split() if line.rstrip("/").endswith("/debian")]
    if not found:
        raise RuntimeError("apt knows no Debian mirror on this machine")
    return found[0]


def _device_requirements() -> list[str]:
    """What ``pip install 'fer-edge[device]'`` would bring."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["device"]]
    return [line for line in wanted if not line.startswith("numpy")]  # Debian's own is used


def _constraints() -> str:
    """The project's pinned versions, without their hashes; numpy stays the one from apt."""
    pins = re.findall(r"^[\w.-]+==[^\\\n]+", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    return "\n".join(pin.strip() for pin in pins if not pin.startswith("numpy=="))


if __name__ == "__main__":
    print(ensure_rootfs())
