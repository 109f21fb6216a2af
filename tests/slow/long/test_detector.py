"""A detector's run that was cut off."""

from __future__ import annotations

from pathlib import Path

import pytest

from fer_edge.chatter import import_keras
from fer_edge.errors import FerEdgeError

import_keras(backend="tensorflow")

from fer_edge.train.checkpoints import Checkpoints  # noqa: E402
from fer_edge.train.run import train  # noqa: E402

TINY = [
    *("model.stem=4", "model.early=4", "model.head=4"),
    *("model.widths=[4, 4, 4]", "model.depths=[1, 1, 1]"),
    *("frames.width=160", "frames.height=120", "frames.per_epoch=32", "frames.held_out=4"),
    *("fit.epochs=3", "fit.ema=0.5"),
]


@pytest.mark.timeout(300)
def test_a_run_that_was_cut_off_goes_through_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train("detector", "synthetic", output=tmp_path / "whole", overrides=TINY)
    save = Checkpoints.save

    def cut_after_first(self: Checkpoints, model: object, state: object) -> None:
        save(self, model, state)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", cut_after_first)
    cut = train("detector", "synthetic", output=tmp_path / "cut", overrides=TINY)
    assert cut.interrupted
    assert cut.state.epoch == 1
    assert "test" not in cut.metrics
    monkeypatch.undo()
    with pytest.raises(FerEdgeError, match=r"differs in \[frames\]"):
        train(None, None, output=cut.folder, resume=True, overrides=["frames.most=2"])
    resumed = train(None, None, output=cut.folder, resume=True)
    assert resumed.metrics["test"] == whole.metrics["test"]
    for one, other in zip(resumed.state.history, whole.state.history, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
