"""What a run needs to go on after it was cut off: a checkpoint an epoch and a state file."""

from __future__ import annotations

import json
import shutil
import zipfile
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras

from fer_edge.errors import FerEdgeError
from fer_edge.files import atomic_path, write_text

_DAMAGE = (
    *(OSError, ValueError, KeyError, TypeError, EOFError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error),
)
"""What Keras meets in a file that was cut off or changed."""


@dataclass
class State:
    """Where a run stands. ``epoch`` counts finished epochs."""

    epoch: int = 0
    best_epoch: int = 0
    best_value: float = -1.0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


class Checkpoints:
    """The folder ``checkpoints/`` of a run.

    The state file names the checkpoint that belongs to it, and is renamed into place after it: a
    cut at any moment leaves the pair of the epoch before.
    """

    def __init__(self, run: Path) -> None:
        self.folder = run / "checkpoints"
        self.state_file = self.folder / "state.json"

    def path(self, epoch: int) -> Path:
        """The checkpoint of the training model, with its optimizer, after ``epoch`` epochs."""
        return self.folder / f"epoch-{epoch:04d}.keras"

    def save(self, model: keras.Model, state: State) -> None:
        """Write the checkpoint of ``state.epoch`` and drop those no longer needed."""
        with atomic_path(self.path(state.epoch)) as temporary:
            model.save(temporary)
        write_text(self.state_file, json.dumps(asdict(state)))
        for old in self.folder.glob("epoch-*.keras"):
            if old not in (self.path(state.epoch), self.path(state.best_epoch)):
                old.unlink()

    def load_state(self) -> State | None:
        """The last finished epoch's state; None when no epoch was finished.

        Raises:
            FerEdgeError: the state file or its checkpoint is damaged or missing.
        """
        if not self.state_file.exists():
            return None
        try:
            content: dict[str, Any] = json.loads(self.state_file.read_text(encoding="utf-8"))
            state = State(**content)
        except (ValueError, TypeError, OSError) as error:
            raise FerEdgeError(
                f"cannot resume: {self.state_file} is damaged", "start the run in a new folder"
            ) from error
        if not self.path(state.epoch).exists():
            raise FerEdgeError(
                f"cannot resume: {self.path(state.epoch)} is missing",
                "start the run in a new folder",
            )
        return state

    def set_damage_aside(self) -> Path | None:
        """Make room for a new beginning where no training can go on from what there is.

        Returns:
            The folder that holds the damaged checkpoints now; None where they are sound, or none.
        """
        try:
            if (state := self.load_state()) is None or self._is_whole(state.epoch):
                return None
        except FerEdgeError:
            pass  # which is damage
        aside = self.folder.with_name(f"{self.folder.name}-damaged")
        shutil.rmtree(aside, ignore_errors=True)
        self.folder.replace(aside)
        return aside

    def _is_whole(self, epoch: int) -> bool:
        """Whether the checkpoint's bytes are those that were written, by its own checksums."""
        try:
            with zipfile.ZipFile(self.path(epoch)) as checkpoint:
                return checkpoint.testzip() is None
        except _DAMAGE:
            return False

    def load_model(self, epoch: int) -> keras.Model:
        """The training model as it was after ``epoch`` epochs, its optimizer included.

        Raises:
            FerEdgeError: the checkpoint cannot be read.
        """
        try:
            return keras.models.load_model(self.path(epoch))
        except _DAMAGE as error:
            raise FerEdgeError(
                f"cannot read the checkpoint {self.path(epoch)}", "start the run in a new folder"
            ) from error
