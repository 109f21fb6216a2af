"""A few hundred mutants; ``make fuzz`` tries 20,000."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FUZZING = Path(__file__).parents[1] / "fuzzing.py"


@pytest.mark.parametrize(("kind", "count"), [("bundles", 200), ("models", 100)])
def test_no_mutant_ends_the_process_hangs_or_computes_something_else(
    kind: str, count: int, bundle: Path
) -> None:
    pytest.importorskip("cryptography")
    # in a process of its own, since it is the process that must survive
    command = [sys.executable, FUZZING, kind, "0", str(count), str(bundle)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout)
    assert sum(result["found"].values()) >= count * 0.9
    # what is left changes nothing that the golden set can show: a name, a padding, a dead weight
    assert result["found"].get("accepted, to the bit", 0) < count / 2
    assert result["slowest_s"] < 20
