"""``train/release.sh``, called in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "train" / "release.sh"


def release(
    folder: Path, *options: str | Path, budget: str = "prototype"
) -> subprocess.CompletedProcess[str]:
    command = [SCRIPT, *options, "--key", "release.key", "--runs", "runs"]
    command += ["--to", "shipped", "--cards", "cards", "--budget", budget]
    edge = {"FER_EDGE": f"{sys.executable} -m fer_edge"}
    return subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=os.environ | edge,
        capture_output=True,
        text=True,
    )
