"""A drawn clip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from fer_edge.data.clip import DrawnFace, render_clip

pytest.importorskip("cv2")


@dataclass(frozen=True)
class Clip:
    """A drawn video with the truth about it."""

    path: Path
    faces: list[tuple[DrawnFace, ...]]


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """24 frames of 320×180 with two people in each."""
    path = tmp_path_factory.mktemp("clip") / "people.mp4"
    return Clip(path, render_clip(path, frames=24, size=(320, 180)))
