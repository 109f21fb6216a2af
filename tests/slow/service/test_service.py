"""device/install.sh and fer-edge.service on a real systemd, whose camera is a server out here."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from container import Container, booted, layered
from maker import Maker
from rootfs import ROOT, command, ensure_rootfs

sys.path.insert(0, str(ROOT / "tests" / "device"))
from stream_servers import MjpegServer

from fer_edge.data.clip import draw_frames

pytestmark = pytest.mark.timeout(600)

SOURCE = Path("/opt/source")
INSTALL = str(SOURCE / "device/install.sh")
STATE = Path("/var/lib/fer-edge/state")
CAMERA_RUN = "/opt/inside/fer_edge_run.py"
WATCHDOG = 7
"""Seconds; the unit's 45 would take long, and a network camera's fault is noticed after 5."""
QUICK = f"""
[Service]
WatchdogSec={WATCHDOG}
RestartSec=1
"""


@pytest.fixture(scope="module")
def pictures() -> list:
    return [frame for frame, _ in draw_frames(96, (320, 240), 1, seed=0)]


@pytest.fixture(scope="module")
def address() -> str:
    """Host and port of a page."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture(scope="module")
def camera(pictures: list) -> Iterator[MjpegServer]:
    made = MjpegServer(pictures=pictures)
    yield made
    made.die()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, bundle: Path, maker: Maker) -> Iterator[Path]:
    """A system where this checkout and two bundles lie ready."""
    if shutil.which("systemd-nspawn") is None:
        pytest.skip("needs systemd-nspawn: apt-get install systemd-container")
    with layered(ensure_rootfs(), tmp_path_factory.mktemp("container")) as root:
        source = root / SOURCE.relative_to("/")
        for folder in ("device", "export", "fer_edge"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / folder, source / folder, symlinks=True, ignore=ignored)
        for file in (".gitignore", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / file, source)
        shutil.copy(bundle, source / "one.fer")
        shutil.copy(maker.bundle("two.fer", name="second"), source / "two.fer")
        yield root


@pytest.fixture(scope="module")
def system(root: Path, camera: MjpegServer, address: str) -> Iterator[Container]:
    """The booted system, with the service installed before."""
    for more in ((), ("--bundle", str(SOURCE / "one.fer"))):
        done = _before_boot(root, INSTALL, *more)
        assert done.returncode == 0, done.stderr
        assert "it starts with the next boot" in done.stdout
    _configure(root, camera.url, address)
    quick = root / "etc/systemd/system/fer-edge.service.d/quick.conf"
    quick.parent.mkdir()
    quick.write_text(QUICK)
    with booted(root) as container:
        yield container


@pytest.fixture
def service(system: Container) -> Container:
    """The running service."""
    if system.show("ActiveState") in ("inactive", "failed"):
        system.run("systemctl", "start", "fer-edge")
    system.wait_until("StatusText", "frames,")
    return system


def _before_boot(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(root, *words), capture_output=True, text=True)


def _configure(root: Path, camera: str, address: str) -> None:
    """The shipped configuration with another camera and port."""
    path = root / "etc/fer-edge/fer-edge.toml"
    text = path.read_text()
    text = text.replace("camera = 0", f'camera = "{camera}"').replace("127.0.0.1:8080", address)
    path.write_text(text)


def _refused(root: Path, *words: str) -> str:
    done = _before_boot(root, *words)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    return line


def test_what_it_cannot_be_installed_on_is_refused_in_one_line(root: Path):
    nobody = ("setpriv", "--reuid=1000", "--clear-groups", INSTALL)
    assert _refused(root, *nobody) == "install.sh: not root: run it with sudo"
    stub = root / "opt/stub/dpkg"
    stub.parent.mkdir()
    stub.write_text("#!/bin/sh\necho armhf\n")
    stub.chmod(0o755)
    narrow = ("env", "PATH=/opt/stub:/usr/sbin:/usr/bin:/sbin:/bin", INSTALL)
    assert "this system is 32-bit (armhf)" in _refused(root, *narrow)
    release = root / "etc/os-release"
    kept = release.readlink()
    release.unlink()
    for text, named in (
        ('ID=ubuntu\nVERSION_CODENAME="noble"\n', "ubuntu noble"),
        ("ID=debian\nVERSION_CODENAME=bullseye\n", "debian bullseye"),
        ("ID=debian\n", "debian of no known release"),
    ):
        release.write_text(text)
        assert f"this is {named}: " in _refused(root, INSTALL)
    release.unlink()
    release.symlink_to(kept)
    assert "no such bundle: absent.fer" in _refused(root, INSTALL, "--bundle", "absent.fer")
    assert "no such wheel: absent.whl" in _refused(root, INSTALL, "--wheel", "absent.whl")
    alone = root / "opt/alone"
    shutil.copytree(ROOT / "device", alone / "device")
    assert "there is no checkout around" in _refused(root, "/opt/alone/device/install.sh")
    assert "--purge goes with --uninstall" in _refused(root, INSTALL, "--purge")
    assert not (root / "opt/fer-edge").exists()


def test_it_is_ready_with_the_first_frame_and_tells_how_it_goes(service: Container, camera):
    assert service.show("NotifyAccess") == "main"
    text = service.wait_until("StatusText", "p50")
    assert text.startswith(f"{camera.url}: ")
    assert text.endswith("/var/lib/fer-edge/bundles/000001.fer")
    assert "Started fer-edge.service" in service.journal()


def test_it_writes_nowhere_but_into_its_state_directory(service: Container):
    process = service.show("MainPID")
    (uid,) = {line.split()[2] for line in _status(service, process) if line.startswith("Uid:")}
    assert int(uid) >= 61184  # a dynamic user
    # memory that ends with the service, or with the machine
    passing = ("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run/credentials")
    skipped = "-path /proc -o -path /sys -prune -o"
    inside = f"nsenter -t {process} -m -- "
    owned = service.run("sh", "-c", f"{inside} find / {skipped} -uid {uid} -type f -print").stdout
    kept = [path for path in owned.splitlines() if not path.startswith(passing)]
    kept = [path for path in kept if not path.startswith(("/proc/", "/sys/"))]
    real = Path("/var/lib/private/fer-edge/state")
    assert {Path(path).name for path in kept} == {"events.jsonl"}
    assert {Path(path).parent for path in kept} <= {STATE, real}
    become = f"setpriv --reuid={uid} --regid={uid} --clear-groups --no-new-privs"
    found = service.run("sh", "-c", f"{inside} {become} find / {skipped} -writable -type d -print")
    open_to_it = {Path(path) for path in found.stdout.splitlines()}
    lasting = {path for path in open_to_it if not str(path).startswith((*passing, "/proc", "/sys"))}
    assert lasting <= {STATE, real}
    assert lasting
    lines = (service.root / real.relative_to("/") / "events.jsonl").read_text().splitlines()
    assert "label" in json.loads(lines[0])


def _status(container: Container, process: str) -> list[str]:
    return container.run("cat", f"/proc/{process}/status").stdout.splitlines()


def test_a_frozen_process_is_killed_by_the_watchdog_and_started_again(service: Container):
    process, restarts = service.show("MainPID"), int(service.show("NRestarts"))
    service.run("sh", "-c", f"kill -STOP {process}")
    began = time.monotonic()
    service.wait_until("NRestarts", str(restarts + 1))
    assert time.monotonic() - began < 3 * WATCHDOG
    service.wait_until("ActiveState", "active")
    assert service.show("MainPID") != process
    assert f"Watchdog timeout (limit {WATCHDOG}s)!" in service.journal()
    service.wait_until("StatusText", "frames,")


def test_a_stop_on_the_page_outlasts_the_watchdog(service: Container, address: str):
    process = service.show("MainPID")
    _post(f"http://{address}/stop")
    service.wait_until("StatusText", "stopped on the page")
    time.sleep(1.5 * WATCHDOG)
    assert service.show("MainPID") == process
    _post(f"http://{address}/start")
    service.wait_until("StatusText", "p50")


def _post(url: str) -> None:
    urllib.request.urlopen(urllib.request.Request(url, data=b""), timeout=10).read()


def test_a_camera_that_stalls_is_recovered_without_a_restart_and_told(service: Container, camera):
    process = service.show("MainPID")
    camera.flowing.clear()
    try:
        service.wait_until("StatusText", "gave no frame for 5.0 s; trying to get it going")
        time.sleep(WATCHDOG)
    finally:
        camera.flowing.set()
    service.wait_until("StatusText", "p50")
    assert service.show("MainPID") == process
    assert "is back after" in service.journal()


def test_a_bundle_that_went_bad_gives_way_to_the_one_before(service: Container):
    done = service.run("fer-edge", "bundle", "install", str(SOURCE / "two.fer"))
    assert "second: installed as /var/lib/fer-edge/bundles/000002.fer" in done.stdout
    service.run("systemctl", "restart", "fer-edge")
    service.wait_until("StatusText", "000002.fer")
    bundle = service.root / "var/lib/fer-edge/bundles/000002.fer"
    content = bytearray(bundle.read_bytes())
    content[len(content) // 2] ^= 1
    bundle.write_bytes(content)
    service.run("systemctl", "restart", "fer-edge")
    service.wait_until("StatusText", "000001.fer")
    assert "using the bundle before it, /var/lib/fer-edge/bundles/000001.fer" in service.journal()
    done = service.run("fer-edge", "bundle", "rollback")
    assert done.returncode == 0, done.stderr


def test_what_ships_runs_where_nothing_is_installed_and_is_installed_by_its_name(
    service: Container,
):
    installed = service.root / "var/lib/fer-edge/bundles"
    aside = installed.rename(installed.with_name("aside"))
    try:
        service.run("systemctl", "restart", "fer-edge")
        service.wait_until("StatusText", "models/edge-small.fer")
        done = service.run("fer-edge", "bundle", "install", "edge-nano")
        assert "edge-nano, version" in done.stdout, done.stderr
        service.run("systemctl", "restart", "fer-edge")
        service.wait_until("StatusText", "bundles/000001.fer")
    finally:
        shutil.rmtree(installed, ignore_errors=True)
        aside.rename(installed)
        service.run("systemctl", "restart", "fer-edge")


def test_the_real_picamera2_works_behind_the_units_fences(service: Container):
    system = service
    inside = system.root / "opt/inside"
    for name in ("inside", "pictures"):
        # the suite of the virtual camera leaves its own in the cached system
        shutil.rmtree(system.root / "opt" / name, ignore_errors=True)
    shutil.copytree(ROOT / "tests/slow/virtual_camera/inside", inside)
    shutil.copytree(ROOT / "fer_edge", inside / "fer_edge")
    folder = system.root / "opt/pictures"
    folder.mkdir()
    for number, (picture, _) in enumerate(draw_frames(24, (640, 480), 1, seed=0)):
        cv2.imwrite(str(folder / f"{number}.jpg"), picture)
    words = f"run /var/lib/fer-edge/bundles --camera 0 --log {STATE}/camera.jsonl"
    other = system.root / "etc/systemd/system/fer-edge.service.d/camera.conf"
    other.write_text(
        f"[Service]\nExecStart=\nExecStart=/opt/venv/bin/python {CAMERA_RUN} {words}\n"
    )
    try:
        system.run("systemctl", "daemon-reload")
        done = system.run("systemctl", "restart", "fer-edge")
        assert done.returncode == 0, system.journal()
        assert system.wait_until("StatusText", "p50").startswith("camera 0: ")
    finally:
        other.unlink()
        system.run("systemctl", "daemon-reload")
        system.run("systemctl", "restart", "fer-edge")


def test_a_machine_without_its_camera_tries_until_there_is_one(
    service: Container, camera: MjpegServer, pictures: list
):
    service.run("systemctl", "stop", "fer-edge")
    camera.die()
    restarts = int(service.show("NRestarts"))
    assert service.run("systemctl", "start", "fer-edge").returncode != 0
    service.wait_until("NRestarts", str(restarts + 2))
    assert "no camera answers at 127.0.0.1" in service.journal()
    again = MjpegServer(camera.port, pictures=pictures)
    try:
        service.wait_until("StatusText", "frames,")
    finally:
        service.run("systemctl", "stop", "fer-edge")
        again.die()
    assert service.show("Result") == "success"


def test_a_second_installation_changes_nothing_and_removal_leaves_what_is_the_users(
    system: Container, camera: MjpegServer, pictures: list
):
    again = MjpegServer(camera.port, pictures=pictures)
    try:
        assert system.run("systemctl", "restart", "fer-edge").returncode == 0
        process = system.show("MainPID")
        done = system.run(INSTALL, "--bundle", str(SOURCE / "one.fer"))
        assert "install.sh: installed already, and running" in done.stdout, done.stderr
        assert system.show("MainPID") == process
        done = system.run(INSTALL, "--uninstall")
    finally:
        again.die()
    assert done.stdout == (
        "install.sh: removed; /etc/fer-edge and /var/lib/fer-edge are still there (--purge)\n"
    )
    assert system.show("LoadState") == "not-found"
    for gone in ("opt/fer-edge", "usr/local/bin/fer-edge", "etc/systemd/system/fer-edge.service"):
        assert not (system.root / gone).exists()
    assert (system.root / "var/lib/fer-edge/bundles/000001.fer").exists()
    done = system.run(INSTALL, "--uninstall", "--purge")
    assert done.returncode == 0, done.stderr
    for gone in ("etc/fer-edge", "var/lib/fer-edge", "var/lib/private/fer-edge"):
        assert not (system.root / gone).exists()


def test_the_unit_is_right_and_its_exposure_at_most_2(system: Container):
    unit = str(SOURCE / "device/fer-edge.service")
    system.run("mkdir", "-p", "/usr/local/bin")
    system.run("ln", "-sf", "/bin/true", "/usr/local/bin/fer-edge")
    done = system.run("systemd-analyze", "verify", unit)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    limit = ("--offline=true", "--threshold=20", "--no-pager")
    done = system.run("systemd-analyze", "security", *limit, unit)
    assert done.returncode == 0, done.stdout


def test_the_script_is_clean():
    if shutil.which("shellcheck") is None:
        pytest.skip("needs shellcheck: apt-get install shellcheck")
    done = subprocess.run(
        ["shellcheck", ROOT / "device/install.sh"], capture_output=True, text=True
    )
    assert done.stdout == ""
