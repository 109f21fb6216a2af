"""64-bit Arm on this machine: qemu, Debian's own Python, and the wheels that a Raspberry Pi gets.

    python benchmarks/arm/emulator.py          # install and build what is missing

Everything lies in the user's cache folder and is built once. No binfmt, no chroot, no container:
qemu runs one process whose files come from a folder of Debian's arm64 packages first, and from this
machine else.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fer_edge.errors import FerEdgeError
from fer_edge.files import atomic_folder

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parents[1]
"""Where ``import fer_edge`` finds the package, on the emulated processor too."""
REQUIREMENTS = HERE / "requirements.txt"

SUITE, PYTHON = "bookworm", "python3.11"
"""What Raspberry Pi OS Bookworm has."""
DEBS = ("lib*.deb", f"{PYTHON}*.deb", "zlib1g_*.deb")
"""What is unpacked of a minimal Debian with Python."""
TOOLS = {"qemu-aarch64": "qemu-user", "debootstrap": "debootstrap", "gcc": "gcc"}
"""Commands, and Debian's packages that have them."""

CPUINFO = """\
processor\t: {number}
BogoMIPS\t: 108.00
Features\t: {features}
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: {part:#05x}
CPU revision\t: 0

"""


@dataclass(frozen=True)
class Processor:
    """One that qemu emulates, as the kernel of a board describes it.

    LiteRT chooses its kernels by ``/proc/cpuinfo``: without an Arm one it does not start, and with
    one that promises more than qemu's processor has, it dies of an illegal instruction.
    """

    name: str
    """To people."""
    cpu: str
    """To qemu."""
    board: str
    part: int
    """Number of the design, as Arm assigns it."""
    features: str

    @property
    def cpuinfo(self) -> str:
        """What ``/proc/cpuinfo`` says on the board; all have four cores."""
        fill = {"features": self.features, "part": self.part}
        return "".join(CPUINFO.format(number=number, **fill) for number in range(4))


A53 = Processor(
    "Cortex-A53", "cortex-a53", "Raspberry Pi Zero 2 W", 0xD03, "fp asimd evtstrm crc32 cpuid"
)
A72 = Processor("Cortex-A72", "cortex-a72", "Raspberry Pi 4", 0xD08, "fp asimd evtstrm crc32 cpuid")
A76 = Processor(
    "Cortex-A76",
    "cortex-a76",
    "Raspberry Pi 5",
    0xD0B,
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop "
    "asimddp",
)
PROCESSORS = (A53, A72, A76)


def prepare() -> Path:
    """Install Debian's packages and build the folder of arm64 files, unless both are there.

    Returns:
        The folder.

    Raises:
        FerEdgeError: not root while something has to be installed, not Debian, or no network.
    """
    _install_tools()
    folder = _folder()
    if not folder.is_dir():
        if os.geteuid() != 0:
            raise FerEdgeError(
                f"debootstrap has to build {folder} and works as root only",
                "run it as root once; it stays in the cache",
            )
        print(f"building {folder}: Debian {SUITE} for arm64 and its wheels", file=sys.stderr)
        with atomic_folder(folder) as building:
            _build(building)
    return folder


def run(processor: Processor, *arguments: str | Path, plugin: str | None = None) -> str:
    """Run Python on an emulated processor to its end.

    Args:
        processor: the emulated one.
        arguments: to Python.
        plugin: qemu's option of the same name.

    Returns:
        What it wrote to standard output.

    Raises:
        FerEdgeError: it failed, or there is no emulator and it cannot be built.
    """
    folder = prepare()
    qemu = ["qemu-aarch64", "-L", str(folder / processor.cpu), "-cpu", processor.cpu]
    if plugin is not None:
        qemu += ["-plugin", plugin]
    # -s and -B: nothing of this machine's user, and no bytecode beside the package
    python = [str(folder / "debian" / "usr" / "bin" / PYTHON), "-s", "-B"]
    environment = {
        "HOME": str(Path.home()),
        "LANG": "C.UTF-8",
        "OPENBLAS_NUM_THREADS": "1",
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{folder / 'site-packages'}{os.pathsep}{PACKAGE}",
    }
    line = [*qemu, *python, *map(str, arguments)]
    done = subprocess.run(line, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise FerEdgeError(
            f"on the emulated {processor.name}, {' '.join(map(str, arguments))[:80]} failed with "
            f"code {done.returncode}: {_last_line(done)}"
        )
    return done.stdout


@contextmanager
def exits_on_error() -> Iterator[None]:
    """A FerEdgeError ends the program with two lines and its exit code."""
    try:
        yield
    except FerEdgeError as error:
        print(error.message, file=sys.stderr)
        if error.hint:
            print(f"  → {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)


def _folder() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    recipe = repr((SUITE, PYTHON, DEBS, CPUINFO, PROCESSORS, REQUIREMENTS.read_bytes()))
    return cache / "fer-edge" / f"arm64-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def _install_tools() -> None:
    missing = {name: package for name, package in TOOLS.items() if shutil.which(name) is None}
    if not missing:
        return
    # without its recommendations a compiler has no headers
    packages = [*missing.values(), *(["libc6-dev"] if "gcc" in missing else [])]
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise FerEdgeError(
            f"the emulated Arm board needs {', '.join(missing)}, which this machine lacks",
            f"on Debian, as root: apt-get install {' '.join(packages)}",
        )
    _call(["apt-get", "update", "-qq"])
    _call(install, {"DEBIAN_FRONTEND": "noninteractive"})


def _build(folder: Path) -> None:
    """Debian's packages unpacked, a root for each processor over them, and the wheels."""
    debian, packages = folder / "debian", folder / "packages"
    what = ["--arch=arm64", "--variant=minbase", f"--include={PYTHON}"]
    _call(["debootstrap", "--download-only", *what, SUITE, str(packages)])
    for pattern in DEBS:
        for deb in sorted((packages / "var" / "cache" / "apt" / "archives").glob(pattern)):
            _call(["dpkg-deb", "-x", str(deb), str(debian)])
    shutil.rmtree(packages)
    for processor in PROCESSORS:
        _write_root(folder / processor.cpu, processor, sorted(debian.iterdir()))
    platform = ["--python-platform", "aarch64-manylinux_2_28", "--python-version", "3.11"]
    wheels = ["--only-binary", ":all:", "--no-deps", "--require-hashes", "-r", str(REQUIREMENTS)]
    target = ["--target", str(folder / "site-packages")]
    # --no-config: the project's own constraints carry no hashes
    uv = [sys.executable, "-m", "uv", "--no-config", "pip", "install", "--quiet"]
    _call([*uv, *platform, *target, *wheels])


def _write_root(root: Path, processor: Processor, shared: Sequence[Path]) -> None:
    cores = root / "sys" / "devices" / "system" / "cpu"
    cores.mkdir(parents=True)
    for name in ("possible", "present"):
        (cores / name).write_text("0-3\n")
    (root / "proc").mkdir()
    (root / "proc" / "cpuinfo").write_text(processor.cpuinfo)
    for path in shared:
        (root / path.name).symlink_to(Path("..") / path.parent.name / path.name)


def _call(line: list[str], environment: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        line, env={**os.environ, **(environment or {})}, capture_output=True, text=True
    )
    if done.returncode:
        raise FerEdgeError(
            f"{' '.join(line)[:80]} failed with code {done.returncode}: {_last_line(done)}",
            "it needs Debian's packages and the Python package index",
        )


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    return ((done.stdout + done.stderr).strip().splitlines() or ["it said nothing"])[-1]


if __name__ == "__main__":
    with exits_on_error():
        print(prepare())
