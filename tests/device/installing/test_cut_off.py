"""A device has the old bundle or the new one, whole, at whatever moment it is cut off."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from installed import name_of, names_in

from fer_edge.bundle import INT8_TFLITE, open_bundle
from fer_edge.device import install as installing
from fer_edge.device.install import CURRENT, install

KILLED = """
import os, signal, sys
from pathlib import Path
from fer_edge.device import install as installing

# everything is imported and loaded once; each attempt is a fork that is killed at another moment
action, folder, *bundles = sys.argv[1:]
folder = Path(folder)
if bundles:
    installing.open_classifier(Path(bundles[0]), keys=[])

def act(bundle):
    if action == "rollback":
        installing.rollback(folder, keys=[])
    else:
        installing.install(Path(bundle), folder, keys=[], allow_downgrade=True)

for line in sys.stdin:
    moment, bundle = line.split()
    child = os.fork()
    if not child:
        left, me = int(moment), os.getpid()

        def count(event, arguments):
            # every system call that names a file, before it happens; not those of the rehearsal
            global left
            if os.getpid() == me and event in WATCHED:
                left -= 1
                if not left:
                    os.kill(me, signal.SIGKILL)

        WATCHED = {"open", "os.rename", "os.remove", "os.symlink", "os.mkdir", "os.chmod",
                   "os.listdir", "os.scandir", "shutil.copyfile", "tempfile.mkstemp", "os.fork"}
        sys.addaudithook(count)
        act(bundle)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(int(os.WIFSIGNALED(status)), flush=True)
"""


class Killer:
    """Installs in a process that is killed just before its N-th act on the file system."""

    def __init__(self, action: str, folder: Path, bundle: Path) -> None:
        command = [sys.executable, "-c", KILLED, action, str(folder), str(bundle)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def act(self, moment: int, bundle: Path) -> bool:
        """True when it was killed, False when it had ended before that moment."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{moment} {bundle}\n")
        self._process.stdin.flush()
        return bool(int(self._process.stdout.readline()))

    def close(self) -> None:
        self._process.communicate()
        assert self._process.returncode == 0


def _keeps_working(folder: Path, names: set[str], bundle: Path) -> str:
    """The current bundle's name, after a look that everything is whole and can go on."""
    current = open_bundle(folder / CURRENT, keys=[])
    current.read(INT8_TFLITE)
    assert current.manifest.name in names
    previous = installing._previous(folder)
    if previous is not None:
        assert name_of(previous) in {"first", "second", "third"}
        assert name_of(previous) != current.manifest.name
    return current.manifest.name


def test_an_installation_killed_at_any_moment_leaves_the_old_bundle_or_the_new_one(
    folder: Path, bundles: list[Path], tmp_path: Path
) -> None:
    first, second, third = bundles
    start = tmp_path / "start"
    install(first, start)
    install(second, start)
    killer = Killer("install", folder, third)
    found: list[str] = []
    for moment in range(1, 500):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(start, folder, symlinks=True)
        killed = killer.act(moment, third)
        found.append(_keeps_working(folder, {"second", "third"}, third))
        # what was kept is the old one's predecessor, or the old one itself
        previous = installing._previous(folder)
        assert previous is not None
        assert name_of(previous) == ("first" if found[-1] == "second" else "second")
        if killed and moment % 3:
            continue
        # the next installation tidies up and succeeds
        state = install(third, folder)
        assert state.previous is not None
        assert (state.name, name_of(state.previous)) == ("third", "second")
        assert len(names_in(folder)) == 3
        if not killed:
            break
    killer.close()
    assert found == sorted(found), "once the new one is there, it stays"
    assert found.count("second") > 10
    assert found.count("third") > 2


def test_a_rollback_killed_at_any_moment_leaves_one_bundle_or_the_other(
    folder: Path, bundles: list[Path], tmp_path: Path
) -> None:
    start = tmp_path / "start"
    install(bundles[0], start)
    install(bundles[1], start)
    killer = Killer("rollback", folder, bundles[0])
    found: list[str] = []
    for moment in range(1, 500):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(start, folder, symlinks=True)
        killed = killer.act(moment, bundles[0])
        found.append(_keeps_working(folder, {"first", "second"}, bundles[1]))
        if not killed:
            break
    killer.close()
    assert found == sorted(found, reverse=True)
    assert {*found} == {"first", "second"}


def test_a_killed_first_installation_can_be_repeated(folder: Path, bundles: list[Path]) -> None:
    killer = Killer("install", folder, bundles[0])
    for moment in range(1, 500, 3):
        shutil.rmtree(folder, ignore_errors=True)
        killed = killer.act(moment, bundles[0])
        assert install(bundles[0], folder).name == "first"
        assert names_in(folder) == ["000001.fer", CURRENT]
        if not killed:
            break
    killer.close()
