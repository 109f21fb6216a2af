"""A network learns to answer in int8 as it does in float."""

from __future__ import annotations

import numpy as np
import pytest

from fer_edge.chatter import import_keras
from fer_edge.data.dataset import Dataset

keras = import_keras()

from fragile import features, material, with_readout  # noqa: E402
from keras import layers, ops  # noqa: E402

from fer_edge.export.remedies import finetuning  # noqa: E402
from fer_edge.export.remedies.finetuning import Rounded, fine_tune, round_activation  # noqa: E402
from fer_edge.export.remedies.folding import absorb_batch_norms, fold_batch_norms  # noqa: E402
from fer_edge.train.models import build_model  # noqa: E402


def test_rounded_values_lie_on_int8_steps_and_zero_is_one_of_them() -> None:
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    rounded = ops.convert_to_numpy(round_activation(values, -1.0, 3.0))
    assert rounded.min() >= -1.01
    assert rounded.max() <= 3.01
    steps = rounded / (4 / 255)
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)
    assert float(round_activation(np.float32(0), -1.0, 3.0)) == 0
    kernel = np.random.default_rng(1).normal(size=(3, 3, 4, 5)).astype(np.float32)
    weights = ops.convert_to_numpy(finetuning.round_weights(kernel, range(3)))
    for channel in range(5):
        assert len(np.unique(weights[..., channel])) <= 255
        scale = np.abs(kernel[..., channel]).max() / 127
        assert np.abs(weights - kernel)[..., channel].max() <= 0.51 * scale


def test_batch_norms_behind_a_layer_are_absorbed_exactly() -> None:
    keras.utils.set_random_seed(2)
    folded, _ = fold_batch_norms(build_model("compact", 7, {"width": 4}))
    for layer in folded.layers:
        if isinstance(layer, layers.BatchNormalization):
            rng = np.random.default_rng(3)
            layer.set_weights([rng.uniform(0.5, 2, w.shape) for w in layer.get_weights()])
    absorbed = absorb_batch_norms(folded)
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in absorbed.layers)
    face = np.random.default_rng(4).integers(0, 256, (1, 48, 48, 1)).astype(np.float32)
    np.testing.assert_allclose(absorbed(face), folded(face, training=False), atol=1e-5)


def test_fine_tuning_brings_the_rounded_network_nearer_to_the_float_one(
    faint_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a few coarse steps, so that a short training has something to repair
    monkeypatch.setattr(finetuning, "LEARNING_RATE", 1e-3)
    given = material(with_readout(features(depthwise=True), faint_dataset), faint_dataset)
    limits = finetuning.activation_ranges(given.folded, given.calibration)
    coarse = {name: (8 * low, 8 * high) for name, (low, high) in limits.items()}
    monkeypatch.setattr(finetuning, "activation_ranges", lambda *_: coarse)
    before = given.folded.get_weights()
    tuned = fine_tune(given.folded, given.training, given.calibration, steps=60)
    faces = given.training[:200].astype(np.float32)
    wanted = given.folded.predict(faces, batch_size=1, verbose=0)

    def error(network: keras.Model) -> float:
        said = ops.convert_to_numpy(Rounded(network, coarse)(faces))
        return float(np.abs(said - wanted).mean())

    assert error(tuned) < 0.8 * error(given.folded)
    for kept, now in zip(before, given.folded.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, now)
