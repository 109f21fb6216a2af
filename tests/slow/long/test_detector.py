"""A detector's run that was cut off, and what it ends with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fer_edge.chatter import import_keras
from fer_edge.errors import FerEdgeError

keras = import_keras(backend="tensorflow")

from fer_edge.data.detection.backgrounds import Backgrounds  # noqa: E402
from fer_edge.data.detection.photos import load_photos  # noqa: E402
from fer_edge.train.averaging import use_average  # noqa: E402
from fer_edge.train.checkpoints import Checkpoints  # noqa: E402
from fer_edge.train.detection.run import _statistics, _training_frames  # noqa: E402
from fer_edge.train.detection.trainer import build_detection_trainer, detector_of  # noqa: E402
from fer_edge.train.recipe import load_recipe, override  # noqa: E402
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


def test_averaged_weights_end_with_batch_norms_of_their_own() -> None:
    settings = [*TINY, "frames.per_epoch=8", "fit.batch_size=4"]
    recipe = override(load_recipe("detector"), settings)
    frames = _training_frames(recipe, load_photos("synthetic"), {"train": Backgrounds()})
    trainer = build_detection_trainer(recipe, len(frames))
    trainer.fit(frames, shuffle=False, verbose=0)
    statistics = _statistics(recipe, frames)
    assert statistics.images.shape == (8, 120, 160)
    use_average(trainer, statistics)
    network = detector_of(trainer, recipe)
    norm = next(
        each for each in network.layers if isinstance(each, keras.layers.BatchNormalization)
    )
    seen = keras.Model(network.inputs, norm.input).predict(statistics.images[..., None], verbose=0)
    np.testing.assert_allclose(np.array(norm.moving_mean), seen.mean(axis=(0, 1, 2)), rtol=1e-3)
