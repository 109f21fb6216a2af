"""Camera-like changes: each does what its name says, only in training, and alike for a seed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fer_edge.chatter import import_keras

keras = import_keras()

from fer_edge.train.camera import Camera  # noqa: E402
from fer_edge.train.recipe import CameraTable  # noqa: E402

SIDE = np.linspace(0, 255, 48, dtype=np.float32)
FACES = np.stack([np.add.outer(SIDE, SIDE[::-1]) / 2 * (1 + i % 2) / 2 for i in range(16)])[
    ..., None
]
NOISE = np.random.default_rng(1).integers(0, 256, (16, 48, 48, 1)).astype(np.float32)


def _changed(
    faces: np.ndarray, training: bool = True, seed: int = 3, **table: object
) -> np.ndarray:
    settings = CameraTable(probability=1, **table).model_dump()  # type: ignore[arg-type]
    return np.asarray(Camera(settings, seed)(faces, training=training))


EVERYTHING = {
    "flip": True,
    "rotation_degrees": 10,
    "shift": 0.1,
    "scale": 0.2,
    "light": 0.2,
    "shadow": 0.5,
    "occlusion": 0.2,
    "blur": 1.5,
    "motion": 5,
    "smallest": 20,
    "noise": 10,
    "jpeg": 30,
}


def test_everything_together_gives_whole_pixels_and_the_same_ones_for_a_seed() -> None:
    once = _changed(FACES, **EVERYTHING)
    assert once.shape == FACES.shape
    assert once.min() >= 0
    assert once.max() <= 255
    np.testing.assert_array_equal(once, np.round(once))
    np.testing.assert_array_equal(once, _changed(FACES, **EVERYTHING))
    assert np.abs(once - _changed(FACES, seed=4, **EVERYTHING)).mean() > 1


def test_at_inference_the_pixels_stay_as_they_are() -> None:
    np.testing.assert_array_equal(_changed(FACES, training=False, **EVERYTHING), FACES)


def test_images_that_chance_spares_stay_as_they_are() -> None:
    table = CameraTable(
        probability=0, shadow=0.5, occlusion=0.2, blur=2, motion=7, smallest=20, noise=9, jpeg=20
    )
    changed = np.asarray(Camera(table.model_dump(), 1)(NOISE, training=True))
    np.testing.assert_allclose(changed, NOISE, atol=1)


def test_moving_is_one_resampling_about_the_middle() -> None:
    dot = np.zeros((64, 48, 48, 1), np.float32)
    dot[:, 23:25, 23:25] = 255
    for table, reach in (
        ({"rotation_degrees": 90}, 1.0),
        ({"scale": 0.3}, 1.0),
        ({"shift": 0.2}, 10),
    ):
        changed = _changed(dot, **table)[..., 0]
        mass = changed.sum(axis=(1, 2))
        rows = (changed.sum(axis=2) * np.arange(48)).sum(axis=1) / mass
        assert np.abs(rows - 23.5).max() <= reach
    assert np.abs(rows - 23.5).max() > 5, "the last one moves"


@pytest.mark.parametrize("table", [{"blur": 2}, {"motion": 9}, {"smallest": 12}])
def test_what_blurs_keeps_the_light_and_takes_detail(table: dict[str, object]) -> None:
    changed = _changed(NOISE, **table)
    np.testing.assert_allclose(changed.mean(axis=(1, 2)), NOISE.mean(axis=(1, 2)), atol=6)
    assert (changed.std(axis=(1, 2)) < 0.8 * NOISE.std(axis=(1, 2))).mean() > 0.5


def test_a_gaussian_is_the_one_that_opencv_draws() -> None:
    layer = Camera(CameraTable(blur=1, probability=1).model_dump(), 1)
    layer._strength = lambda draw: keras.ops.ones(len(NOISE))  # type: ignore[method-assign]
    changed = np.asarray(layer(NOISE, training=True))[0, ..., 0]
    expected = cv2.GaussianBlur(NOISE[0, ..., 0], (0, 0), 1)
    np.testing.assert_allclose(changed[6:-6, 6:-6], expected[6:-6, 6:-6], atol=1)


def test_jpeg_is_that_of_a_codec_at_the_same_quality() -> None:
    layer = Camera(CameraTable(jpeg=30, probability=1).model_dump(), 1)
    layer._quality = lambda draw: keras.ops.full((16,), 30.0)  # type: ignore[method-assign]
    changed = np.asarray(layer(NOISE, training=True))[0, ..., 0]
    gray = NOISE[0, ..., 0].astype(np.uint8)
    coded = cv2.imencode(".jpg", gray, [cv2.IMWRITE_JPEG_QUALITY, 30])[1]
    expected = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)
    assert np.abs(changed - expected).mean() < 2
    assert np.abs(gray.astype(float) - expected).mean() > 10


def test_an_occlusion_covers_no_more_than_its_share() -> None:
    covered = (_changed(FACES, occlusion=0.25) != np.round(FACES)).mean(axis=(1, 2, 3))
    assert covered.max() <= 0.29
    assert covered.max() > 0.05


def test_light_and_shadow_change_brightness_and_noise_does_not() -> None:
    gray = np.full((16, 48, 48, 1), 128, np.float32)
    lit, noisy = _changed(gray, light=0.3), _changed(gray, noise=20)
    assert np.ptp(lit.mean(axis=(1, 2, 3))) > 40
    assert np.abs(noisy.mean(axis=(1, 2, 3)) - 128).max() < 3
    shaded = _changed(gray, shadow=0.6)
    assert shaded.max() <= 128
    assert np.ptp(shaded, axis=(1, 2, 3)).max() > 20
