"""Composed frames: the truth about them is true, and a seed gives the same ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.data.detection.backgrounds import Backgrounds, clutter, load_backgrounds
from fer_edge.data.detection.frames import Composer, Composition
from fer_edge.data.detection.held_out_frames import compose_held_out
from fer_edge.data.detection.lens import Lens, photograph
from fer_edge.data.detection.pasting import Head
from fer_edge.data.detection.photos import load_photos
from fer_edge.errors import FerEdgeError

PLAIN = Composition(empty=0, rotation_degrees=0, occlusion=0, lens=Lens(0, 0, 0, 0, 0, 0, 0, 0))


def _composer(composition: Composition = PLAIN) -> Composer:
    return Composer(load_photos("synthetic"), Backgrounds(), composition)


def test_the_same_seed_gives_the_same_frames_and_another_gives_others() -> None:
    composer = _composer(Composition())
    once, again, other = (list(composer.frames(4, seed)) for seed in (1, 1, 2))
    for (frame, truth), (same, same_truth) in zip(once, again, strict=True):
        np.testing.assert_array_equal(frame, same)
        np.testing.assert_array_equal(truth.boxes, same_truth.boxes)
        assert frame.shape == (240, 320)
        assert frame.dtype == np.uint8
    assert any((a != b).any() for (a, _), (b, _) in zip(once, other, strict=True))


def test_heads_have_the_heights_that_were_asked_for() -> None:
    composer = _composer(replace(PLAIN, smallest=30, largest=90, most=3))
    heights = np.concatenate([truth.boxes[:, 3] for _, truth in composer.frames(40, 0)])
    assert len(heights) > 40
    assert heights.min() >= 30
    assert heights.max() <= 90
    assert np.median(heights) == pytest.approx(np.sqrt(30 * 90), rel=0.15)


def test_two_eyes_are_where_the_truth_says_whatever_tilt_mirror_and_size() -> None:
    picture = np.full((100, 100), 200, np.uint8)
    points = np.float32([[30, 40], [70, 40], [50, 55], [35, 75], [65, 75]])
    cv2.circle(picture, (30, 40), 5, 0, -1)
    box = np.float32([20, 15, 60, 80])
    for tilt in (0.0, 30.0):
        for mirrored in (False, True):
            for height in (40.0, 160.0):
                head = Head.of(picture, box, points, height, np.array([150, 120]), tilt, mirrored)
                shown = cv2.warpAffine(head.picture, head.turn, (320, 240), borderValue=255)
                eye = head.landmarks[1 if mirrored else 0]
                assert shown[round(float(eye[1])), round(float(eye[0]))] < 80
                # the person's right eye is on the left of an upright picture, mirrored or not
                assert head.landmarks[0, 0] < head.landmarks[1, 0]
                middle = head.box[:2] + head.box[2:] / 2
                np.testing.assert_allclose(middle, [150, 120], atol=1e-3)


def test_a_face_that_another_one_covers_does_not_count() -> None:
    composer = _composer(replace(PLAIN, most=6, smallest=60, largest=200))
    truths = [truth for _, truth in composer.frames(30, 5)]
    for truth in truths:
        assert len(truth.landmarks) == len(truth.boxes)
    assert sum(len(truth.ignored) for truth in truths) > 0
    assert sum(len(truth.boxes) for truth in truths) > 30


def test_empty_frames_are_as_many_as_asked_and_hold_no_face() -> None:
    composer = _composer(replace(PLAIN, empty=1.0))
    assert all(len(truth.boxes) == 0 for _, truth in composer.frames(5, 0))
    held_out = compose_held_out(load_photos("synthetic"), ["PrivateTest"], frames=6, empty=4)
    assert [truth is None for truth in held_out.truths] == [False] * 6 + [True] * 4
    half = held_out.resized((160, 120))
    assert half.frames[0].shape == (120, 160)
    np.testing.assert_allclose(half.truths[0].boxes * 2, held_out.truths[0].boxes)  # type: ignore[union-attr]


def test_below_a_bar_there_is_no_face() -> None:
    composer = _composer(replace(PLAIN, bars=1.0))
    for frame, truth in composer.frames(20, 1):
        black = np.flatnonzero((frame == 0).all(axis=1))
        assert len(black) or frame[-1].any()
        first = black.min() if len(black) else 240
        assert (truth.boxes[:, 1] + 0.3 * truth.boxes[:, 3] < first).all()


@pytest.mark.parametrize("change", ["light", "dark", "shadow", "blur", "motion", "noise", "jpeg"])
def test_each_change_of_the_lens_changes_the_picture(change: str) -> None:
    scene = clutter(np.random.default_rng(3), (96, 64))
    none = Lens(0, 0, 0, 0, 0, 0, 0, 1.0)
    strong = {"light": 0.4, "dark": 1.0, "shadow": 0.9, "blur": 4, "motion": 9, "noise": 20}
    one = replace(none, **{change: strong.get(change, 10)})
    plain = photograph(scene.copy(), none, np.random.default_rng(1))
    np.testing.assert_array_equal(plain, np.rint(scene).astype(np.uint8))
    changed = photograph(scene.copy(), one, np.random.default_rng(1))
    assert np.abs(changed.astype(float) - plain).mean() > 0.5


def test_backgrounds_of_one_split_are_not_those_of_another(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(40):
        picture = cv2.resize(rng.integers(0, 256, (4, 5)).astype(np.uint8), (500, 400))
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
    (tmp_path / "README.txt").write_text("no picture")
    parts = [load_backgrounds([str(tmp_path)], [s]) for s in ("Training", "PublicTest")]
    kinds = [{each.tobytes() for each in part.pictures} for part in parts]
    assert len(kinds[0]) == 32
    assert len(kinds[1]) == 4
    assert not kinds[0] & kinds[1]
    assert parts[0].fingerprint != parts[1].fingerprint
    drawn = parts[0].draw(rng, (320, 240))
    assert drawn.shape == (240, 320)


def test_folders_called_alike_give_all_their_pictures_and_one_named_twice_gives_them_once(
    tmp_path: Path,
) -> None:
    folders = [tmp_path / place / "images" for place in ("a", "b")]
    for folder, tone in zip(folders, (10, 200), strict=True):
        folder.mkdir(parents=True)
        for number in range(3):
            cv2.imwrite(str(folder / f"{number}.png"), np.full((40, 60), tone + number, np.uint8))
    one, two = map(str, folders)
    every = load_backgrounds([one, two])
    assert sorted(int(each.mean()) for each in every.pictures) == [10, 11, 12, 200, 201, 202]
    assert (
        load_backgrounds([one, f"{one}/../images"]).fingerprint
        == load_backgrounds([one]).fingerprint
    )


def test_one_wallpaper_in_several_sizes_counts_once(tmp_path: Path) -> None:
    for size in ("1920x1080", "1280x800"):
        cv2.imwrite(str(tmp_path / f"{size}.png"), np.full((40, 60), 9, np.uint8))
    cv2.imwrite(str(tmp_path / "other.png"), np.full((40, 60), 90, np.uint8))
    assert len(load_backgrounds([str(tmp_path)]).pictures) == 2


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    for folder, named in ((tmp_path, "no picture"), (tmp_path / "none", "no folder")):
        with pytest.raises(FerEdgeError, match=named):
            load_backgrounds([str(folder)])
    (tmp_path / "bad.png").write_bytes(b"not a picture")
    with pytest.raises(FerEdgeError, match="can be read"):
        load_backgrounds([str(tmp_path)])
