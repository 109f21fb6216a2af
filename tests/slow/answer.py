"""What models say of faces: run here, on an emulated processor, or in another environment.

answer.py JOBS.json

JOBS.json: ``faces``, an (N, 48, 48, 1) uint8 ``.npy``; ``out``, the ``.npz`` to write; ``jobs``, a
list of ``model``, ``count`` of the first faces, and ``reference`` kernels or not.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from fer_edge.runtime import load_model


@dataclass(frozen=True)
class Job:
    """A model to ask of the first ``count`` faces."""

    model: str
    count: int
    reference: bool = False


def answer(jobs: Sequence[Job], faces: np.ndarray) -> list[np.ndarray]:
    """Probabilities, (count, classes) float32, of each job."""
    return [
        load_model(Path(job.model), reference_kernels=job.reference).probabilities(
            faces[: job.count]
        )
        for job in jobs
    ]


def write_jobs(folder: Path, jobs: Sequence[Job], faces: np.ndarray) -> tuple[Path, Path]:
    """Write down what another process shall answer; returns the list of jobs and its output."""
    jobs_file, out = folder / "jobs.json", folder / "answers.npz"
    np.save(folder / "faces.npy", faces)
    content = {
        "faces": str(folder / "faces.npy"),
        "out": str(out),
        "jobs": [asdict(job) for job in jobs],
    }
    jobs_file.write_text(json.dumps(content))
    return jobs_file, out


def read_answers(out: Path) -> list[np.ndarray]:
    """What the other process answered, in the order of the jobs."""
    with np.load(out) as stored:
        return [stored[name] for name in stored.files]


def main(jobs_file: Path) -> None:
    """Answer a list of jobs."""
    content = json.loads(jobs_file.read_text())
    jobs = [Job(**each) for each in content["jobs"]]
    np.savez(content["out"], *answer(jobs, np.load(content["faces"])))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
