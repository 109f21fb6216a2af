"""Seconds and peak memory of reading FER2013 in each form.

    python benchmarks/read_fer2013.py FER2013.tar.gz

The archive is unpacked and packed into a temporary folder; each form is read once by a process of
its own, whose processor time, wall time and peak resident memory are printed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

READ = "import sys; from fer_edge.data import load_dataset; load_dataset(sys.argv[1])"
PACK = ["-m", "fer_edge", "data", "pack"]


def main(archive: Path) -> None:
    """Print one line a form."""
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        (plain,) = Path(folder).rglob("fer2013.csv")
        packed = Path(folder) / "fer2013.faces.npz"
        subprocess.run([sys.executable, *PACK, archive, "-o", packed], check=True)
        print(f"{'form':<12} {'MB':>6} {'wall s':>7} {'cpu s':>6} {'peak MB':>8}")
        for name, path in (("csv", plain), ("tar.gz", archive), ("packed", packed)):
            started = time.monotonic()
            child = subprocess.Popen([sys.executable, "-c", READ, path])
            _, status, usage = os.wait4(child.pid, 0)
            wall = time.monotonic() - started
            if status:
                sys.exit(f"reading {path} failed")
            print(
                f"{name:<12} {path.stat().st_size / 1e6:6.1f} {wall:7.2f} "
                f"{usage.ru_utime + usage.ru_stime:6.2f} {usage.ru_maxrss / 1e3:8.0f}"
            )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
