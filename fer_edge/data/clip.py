"""A demo video of drawn people who move and change their expression, with the truth about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fer_edge.data.person import PROTOTYPES, Expression, Identity, View, sample_identity
from fer_edge.errors import FerEdgeError, require_extra
from fer_edge.files import atomic_path
from fer_edge.labels import LABELS

FRAMES_PER_SECOND = 25

_HOLD = 24
"""Frames from one expression to the next."""

_CHANGE = 6
"""Frames of these in which a face moves from one to the other."""

_EXTENT = 3.4
"""Half side of the picture that is drawn of each person, in half sides of the face box."""

_SKIN_TINT = (0.82, 0.96, 1.13)
_ROOM_TINT = (1.15, 1.0, 0.94)
"""Blue, green and red over gray; luma stays what was drawn."""


@dataclass(frozen=True)
class DrawnFace:
    """One face in one frame of a clip."""

    person: int
    """Number of the person, from 0, left to right."""
    expression: str
    """The label whose prototype is drawn, or on its way."""
    settled: bool
    """Whether the expression has arrived; a face on its way shows a mixture."""
    box: tuple[int, int, int, int]
    """x, y, width, height in pixels of the frame: the square that a training face fills."""


def render_clip(
    target: Path,
    *,
    frames: int = 175,
    size: tuple[int, int] = (640, 360),
    people: int = 2,
    seed: int = 0,
) -> list[tuple[DrawnFace, ...]]:
    """Draw an .mp4 of people whose heads a frontal face detector finds.

    Args:
        target: file to write, whole or not at all.
        frames: length, at 25 frames a second. 168 frames show each person in all expressions.
        size: width and height in pixels; both even.
        people: heads in each frame, 1 to 3.
        seed: of who they are and how they move.

    Returns:
        For each frame its faces, from left to right.

    Raises:
        FerEdgeError: a wrong argument, OpenCV is missing or cannot write .mp4, no place to write.
    """
    _check(target, frames, size, people)
    require_extra("cv2", "device")
    import cv2

    with atomic_path(target) as temporary:
        codec = cv2.VideoWriter.fourcc(*"mp4v")
        writer = cv2.VideoWriter(str(temporary), codec, FRAMES_PER_SECOND, size)
        if not writer.isOpened():
            raise FerEdgeError(
                "this OpenCV cannot write MPEG-4 video", "pip install opencv-python-headless"
            )
        try:
            truth = []
            for picture, faces in draw_frames(frames, size, people, seed):
                writer.write(picture)
                truth.append(faces)
        finally:
            writer.release()
    return truth


def draw_frames(
    frames: int, size: tuple[int, int], people: int, seed: int
) -> Iterator[tuple[np.ndarray, tuple[DrawnFace, ...]]]:
    """The clip's pictures, (height, width, 3) uint8 in OpenCV's BGR order, with their faces."""
    rng = np.random.default_rng(seed)
    room = _draw_room(rng, size)
    actors = [_cast(rng, number, size, people) for number in range(people)]
    for frame in range(frames):
        scene = room.copy()
        faces = tuple(_act(actor, frame, scene) for actor in actors)
        scene += rng.normal(0, 2.5, scene.shape[:2]).astype(np.float32)[..., None]
        yield np.clip(scene, 0, 255).astype(np.uint8), faces


@dataclass(frozen=True)
class _Actor:
    """Somebody's looks, place and habits of moving."""

    number: int
    identity: Identity
    place: tuple[float, float]
    side: float
    phases: np.ndarray
    script: tuple[str, ...]


def _cast(rng: np.random.Generator, number: int, size: tuple[int, int], people: int) -> _Actor:
    width, height = size
    # what hides the features that the Haar cascades look for stays in the synthetic set
    person = sample_identity(rng)
    skin = float(rng.uniform(150, 205))
    identity = replace(
        person,
        skin=skin,
        hair=min(person.hair, 0.5 * skin),
        hair_style="long" if number % 2 else "short",
        glasses=False,
        beard=0.0,
    )
    others = [label for label in LABELS if label != "neutral"]
    return _Actor(
        number,
        identity,
        (width * (number + 0.5) / people, 0.46 * height),
        min(0.42 * height, 0.62 * width / people),
        rng.uniform(0, 2 * np.pi, 6),
        ("neutral", *rng.permutation(others).tolist()),
    )


def _act(actor: _Actor, frame: int, scene: np.ndarray) -> DrawnFace:
    """Draw one person into the scene as of one frame."""
    from fer_edge.data.drawing import draw_head

    sway = np.sin(frame / FRAMES_PER_SECOND * np.array([1.1, 1.7, 0.8, 1.3, 0.9, 0.6])
                  + actor.phases)  # fmt: skip
    side = actor.side * (1 + 0.10 * sway[5])
    x = actor.place[0] + 0.35 * actor.side * sway[0]
    y = actor.place[1] + 0.10 * actor.side * sway[1]
    label, settled, expression = _script(actor, frame)
    pixels = int(np.ceil(_EXTENT * side))
    left, top = int(np.floor(x - pixels / 2)), int(np.floor(y - pixels / 2))
    unit = pixels / (2 * _EXTENT)
    view = View(
        roll=0.07 * float(sway[2]),
        yaw=0.14 * float(sway[3]),
        pitch=0.06 * float(sway[4]),
        scale=side / 2 / unit,
        shift=((x - left - pixels / 2) / unit, (y - top - pixels / 2) / unit),
    )
    gray, alpha = draw_head(actor.identity, expression, view, pixels, _EXTENT)
    _paste(scene, gray, alpha, left, top)
    corner = (round(x - side / 2), round(y - side / 2))
    return DrawnFace(actor.number, label, settled, (*corner, round(side), round(side)))


def _script(actor: _Actor, frame: int) -> tuple[str, bool, Expression]:
    """Label, whether it has arrived, and the face it makes."""
    step, since = divmod(frame, _HOLD)
    label = actor.script[step % len(actor.script)]
    if step == 0:
        return label, True, PROTOTYPES[label]
    before = PROTOTYPES[actor.script[(step - 1) % len(actor.script)]]
    share = min(1.0, (since + 1) / _CHANGE)
    return label, share == 1.0, before.toward(PROTOTYPES[label], share)


def _paste(scene: np.ndarray, gray: np.ndarray, alpha: np.ndarray, left: int, top: int) -> None:
    """Blend a tinted picture into the scene; what lies beyond its border is cut off."""
    height, width = scene.shape[:2]
    rows = slice(max(0, -top), min(len(gray), height - top))
    columns = slice(max(0, -left), min(len(gray), width - left))
    cover = (alpha[rows, columns].astype(np.float32) / 255)[..., None]
    tinted = gray[rows, columns, None] * np.array(_SKIN_TINT, np.float32)
    under = scene[rows.start + top : rows.stop + top, columns.start + left : columns.stop + left]
    under += tinted - cover * under


def _draw_room(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """A wall with a window and a shelf, out of focus; (height, width, 3) float32."""
    import cv2

    width, height = size
    wall = np.linspace(150, 105, height, dtype=np.float32)[:, None] * np.ones(width, np.float32)
    x, y = int(0.04 * width), int(0.06 * height)
    cv2.rectangle(wall, (x, y), (x + width // 5, y + height // 2), 215, -1)
    cv2.rectangle(wall, (x, y), (x + width // 5, y + height // 2), 90, 4)
    shelf = int(0.34 * height)
    cv2.rectangle(wall, (int(0.42 * width), shelf), (width, shelf + 8), 70, -1)
    left = int(0.44 * width)
    while left < 0.97 * width:
        thick, tall = int(rng.integers(8, 20)), int(rng.integers(40, 85) / 360 * height)
        cv2.rectangle(
            wall, (left, shelf - tall), (left + thick, shelf), float(rng.uniform(50, 180)), -1
        )
        left += thick + int(rng.integers(0, 14))
    soft = cv2.GaussianBlur(wall, (0, 0), width / 160)
    return soft[..., None] * np.array(_ROOM_TINT, np.float32)


def _check(target: Path, frames: int, size: tuple[int, int], people: int) -> None:
    if target.suffix.lower() != ".mp4":
        raise FerEdgeError(f"a clip is called *.mp4, got '{target.name}'", "choose such a name")
    if frames < 1 or not 1 <= people <= 3:
        raise FerEdgeError(
            f"cannot draw {frames} frames of {people} people", "at least 1 frame of 1 to 3 people"
        )
    if min(size) < 64 or max(size) > 3840 or size[0] % 2 or size[1] % 2:
        raise FerEdgeError(
            f"cannot draw a clip of {size[0]}×{size[1]} pixels", "even sides from 64 to 3840"
        )
