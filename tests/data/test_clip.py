from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.data.clip import DrawnFace, draw_frames, render_clip
from fer_edge.errors import FerEdgeError
from fer_edge.labels import LABELS


def _is_found(face: DrawnFace, boxes: np.ndarray) -> bool:
    """Whether some box has the face's centre within a quarter of its side, and about its size."""
    x, y, side, _ = face.box
    return any(
        abs(left + width / 2 - x - side / 2) < side / 4
        and abs(top + width / 2 - y - side / 2) < side / 4
        and 0.7 < width / side < 1.4
        for left, top, width, _ in boxes
    )


@pytest.fixture(scope="module")
def frames() -> list[tuple[np.ndarray, tuple[DrawnFace, ...]]]:
    """Every sixth of a clip's, (H, W, 3) uint8, with the truth."""
    drawn = enumerate(draw_frames(168, (640, 360), 2, seed=0))
    return [(picture.copy(), faces) for number, (picture, faces) in drawn if number % 6 == 0]


@pytest.mark.parametrize("cascade", ["default", "alt2"])
def test_a_haar_cascade_finds_all_heads_in_nine_of_ten_frames(
    cascade: str, frames: list[tuple[np.ndarray, tuple[DrawnFace, ...]]]
) -> None:
    detector = cv2.CascadeClassifier(
        f"{cv2.data.haarcascades}haarcascade_frontalface_{cascade}.xml"
    )
    found, sizes = [], []
    for picture, faces in frames:
        gray = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), (320, 180))
        boxes = 2 * np.array(detector.detectMultiScale(gray, 1.1, 4)).reshape(-1, 4)
        found.append(all(_is_found(face, boxes) for face in faces))
        sizes += [width / faces[0].box[2] for _, _, width, _ in boxes]
    assert np.mean(found) >= 0.9
    # a box is framed as a training face is
    assert 0.9 < np.median(sizes) < 1.1


def test_a_clip_opens_and_its_truth_names_every_frame(tmp_path: Path) -> None:
    truth = render_clip(tmp_path / "clip.mp4", frames=30, size=(320, 180), people=1)
    video = cv2.VideoCapture(str(tmp_path / "clip.mp4"))
    frames = 0
    while True:
        read, picture = video.read()
        if not read:
            break
        assert picture.shape == (180, 320, 3)
        frames += 1
    assert frames == len(truth) == 30
    assert all(len(faces) == 1 and faces[0].expression in LABELS for faces in truth)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_everybody_shows_all_seven_expressions_within_168_frames() -> None:
    shown: dict[int, set[str]] = {0: set(), 1: set()}
    for _, faces in draw_frames(168, (128, 72), 2, seed=1):
        for face in faces:
            if face.settled:
                shown[face.person].add(face.expression)
    assert shown == {0: set(LABELS), 1: set(LABELS)}


def test_the_same_seed_draws_the_same_clip() -> None:
    first = [picture for picture, _ in draw_frames(3, (128, 72), 2, seed=1)]
    again = [picture for picture, _ in draw_frames(3, (128, 72), 2, seed=1)]
    other = [picture for picture, _ in draw_frames(3, (128, 72), 2, seed=2)]
    np.testing.assert_array_equal(first, again)
    assert (np.array(first) != np.array(other)).mean() > 0.1


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("clip.avi", {}, r"called \*.mp4, got 'clip.avi'"),
        ("clip.mp4", {"frames": 0}, "cannot draw 0 frames"),
        ("clip.mp4", {"people": 4}, "of 4 people"),
        ("clip.mp4", {"size": (641, 360)}, "641×360"),
    ],
)
def test_a_senseless_clip_is_refused(
    name: str, arguments: dict[str, int], message: str, tmp_path: Path
) -> None:
    with pytest.raises(FerEdgeError, match=message):
        render_clip(tmp_path / name, **arguments)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
