"""How well faces are found: recall by size and light, false positives, precision, landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from fer_edge.detection.decoding import Detections
from fer_edge.evaluation.metrics import Estimate

MATCHED = 0.5
"""Intersection over union from which a box has found a face."""
FALSE_POSITIVES = 0.03
"""A frame; figures are given for the threshold that leaves so many."""
LEAST_SCORE = 0.02
"""Of detections that are measured at all."""
HEIGHTS = (0, 16, 24, 32, 40, 64, 100, 160, 200, 1000)
"""Pixels between which recall by size is given."""
LIGHTS = (0, 32, 64, 96, 128, 160, 256)
"""Mean gray values of faces between which recall by light is given."""
_RESAMPLES = 500


class Truth(Protocol):
    """What is in a frame; see ``fer_edge.data.detection.frames.Truth``."""

    @property
    def boxes(self) -> np.ndarray: ...
    @property
    def landmarks(self) -> np.ndarray: ...
    @property
    def ignored(self) -> np.ndarray: ...


@dataclass(frozen=True)
class Matches:
    """Faces and detections of a set of frames, matched at every threshold at once.

    A face is found at a threshold that its match's score reaches.

    Attributes:
        frames: how many; the empty ones included.
        empty: how many of them hold no face by design; they come last.
        face_frames: (F,) the frame of each face.
        heights: (F,) of the faces' boxes, in pixels.
        lights: (F,) mean gray value in each box.
        scores: (F,) of each face's match; 0 where it has none.
        errors: (F,) mean distance of the landmarks over that of the eyes; NaN where not found.
        false_frames, false_scores: (K,) of the detections that are no face.
    """

    frames: int
    empty: int
    face_frames: np.ndarray
    heights: np.ndarray
    lights: np.ndarray
    scores: np.ndarray
    errors: np.ndarray
    false_frames: np.ndarray
    false_scores: np.ndarray

    def threshold(self, rate: float = FALSE_POSITIVES) -> float:
        """The lowest score at which there are at most ``rate`` false positives a frame."""
        allowed = _allowed(rate, self.frames)
        highest = np.sort(self.false_scores)[::-1]
        return LEAST_SCORE if len(highest) <= allowed else _above(highest[allowed])

    def safe_threshold(self, rate: float = FALSE_POSITIVES) -> float:
        """The lowest score that keeps to ``rate`` elsewhere too, as far as these frames can tell.

        On the frames with faces and on the empty ones, each by themselves, a standard error of the
        count is left to spare.
        """
        empty = self.false_frames >= self.frames - self.empty
        counts = ((~empty, self.frames - self.empty), (empty, self.empty))
        found = [LEAST_SCORE]
        for chosen, frames in counts:
            # the largest count that, with its root added, is within the rate
            allowed = int((np.sqrt(rate * frames + 0.25) - 0.5) ** 2 + 1e-9)
            highest = np.sort(self.false_scores[chosen])[::-1]
            if len(highest) > allowed:
                found.append(_above(highest[allowed]))
        return max(found)

    def recall(self, threshold: float, resamples: int = _RESAMPLES) -> Estimate:
        """Share of the faces found, with the 95% interval over resampled frames.

        For a threshold that other frames gave; ``recall_at`` is for one that these give.
        """
        found = self._by_frame(threshold)
        return _share(found, self._faces(), resamples)

    def recall_at(self, rate: float = FALSE_POSITIVES) -> Estimate:
        """Recall at ``rate`` false positives a frame, with its 95% interval.

        Frames are resampled, and each resample has the threshold that its own false positives give.
        """
        resampled = _resampled_recalls((self,), rate)[:, 0]
        return _estimate(self._recall(self.threshold(rate)), resampled)

    def false_positives(self, threshold: float) -> tuple[float, float]:
        """A frame with faces, and an empty frame; NaN where there are none of a kind."""
        wrong = self.false_frames[self.false_scores >= threshold]
        full = self.frames - self.empty
        counts = (wrong < full).sum(), (wrong >= full).sum()
        return tuple(  # type: ignore[return-value]
            float(count / frames) if frames else float("nan")
            for count, frames in zip(counts, (full, self.empty), strict=True)
        )

    def curve(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Thresholds from high to low with precision and recall at each."""
        thresholds = np.unique(np.concatenate([self.scores[self.scores > 0], self.false_scores]))
        thresholds = thresholds[::-1]
        found = np.searchsorted(np.sort(-self.scores), -thresholds, side="right")
        wrong = np.searchsorted(np.sort(-self.false_scores), -thresholds, side="right")
        precision = found / np.maximum(found + wrong, 1)
        return thresholds, precision, found / max(len(self.scores), 1)

    def average_precision(self) -> float:
        """Area under the precision-recall curve, precision made monotone."""
        _, precision, recall = self.curve()
        if not len(recall):
            return 0.0
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        return float(np.sum(envelope * np.diff(np.concatenate([[0.0], recall]))))

    def report(self, rate: float = FALSE_POSITIVES) -> dict[str, Any]:
        """JSON-ready figures at the threshold that leaves ``rate`` false positives a frame."""
        threshold = self.threshold(rate)
        on_faces, on_empty = self.false_positives(threshold)
        errors = self.errors[(self.scores >= threshold) & np.isfinite(self.errors)]
        return {
            "frames": self.frames - self.empty,
            "empty_frames": self.empty,
            "faces": len(self.scores),
            "threshold": round(threshold, 4),
            "recall": _rounded(self.recall_at(rate)),
            **self.by_group(threshold),
            "false_positives": {
                "wanted": rate,
                "with_faces": None if np.isnan(on_faces) else round(on_faces, 4),
                "empty": None if np.isnan(on_empty) else round(on_empty, 4),
            },
            "average_precision": round(self.average_precision(), 4),
            "landmark_error": {
                name: round(float(np.percentile(errors, share)), 4) if len(errors) else None
                for name, share in (("p50", 50), ("p90", 90))
            },
        }

    def by_group(self, threshold: float) -> dict[str, list[dict[str, Any]]]:
        """JSON-ready: the share of faces found, by their height and by their light."""
        return {
            "recall_by_height": self._grouped(self.heights, HEIGHTS, threshold),
            "recall_by_light": self._grouped(self.lights, LIGHTS, threshold),
        }

    def _faces(self) -> np.ndarray:
        return np.bincount(self.face_frames, minlength=self.frames)

    def _recall(self, threshold: float) -> float:
        return float((self.scores >= threshold).sum() / max(len(self.scores), 1))

    def _by_frame(self, threshold: float) -> np.ndarray:
        """Faces found in each frame."""
        found = (self.scores >= threshold).astype(float)
        return np.bincount(self.face_frames, found, minlength=self.frames)

    def _grouped(
        self, values: np.ndarray, edges: Sequence[float], threshold: float
    ) -> list[dict[str, Any]]:
        groups = []
        for low, high in pairwise(edges):
            scores = self.scores[(values >= low) & (values < high)]
            if len(scores):
                recall = round(float((scores >= threshold).mean()), 4)
                groups.append({"from": low, "to": high, "faces": len(scores), "recall": recall})
        return groups


def recall_drop(reference: Matches, other: Matches, rate: float, seed: int = 0) -> Estimate:
    """Recall of one detector less that of another on the same frames, in 0..1.

    Each at the threshold that leaves it ``rate`` false positives a frame; for the 95% interval the
    same frames are resampled for both, and each finds its threshold anew in each resample.
    """
    pair = reference, other
    before, after = (each._recall(each.threshold(rate)) for each in pair)
    resampled = _resampled_recalls(pair, rate, seed)
    return _estimate(before - after, resampled[:, 0] - resampled[:, 1])


def _resampled_recalls(detectors: Sequence[Matches], rate: float, seed: int = 0) -> np.ndarray:
    """Recall at ``rate`` false positives a frame, (resamples, detectors), on resampled frames."""
    frames = detectors[0].frames
    rng = np.random.default_rng(seed)
    allowed = _allowed(rate, frames)
    orders = [np.argsort(-each.false_scores, kind="stable") for each in detectors]
    recalls = np.empty((_RESAMPLES, len(detectors)))
    for recall in recalls:
        times = np.bincount(rng.integers(0, frames, frames), minlength=frames)
        for place, (each, order) in enumerate(zip(detectors, orders, strict=True)):
            # how many false positives come before each of them, itself included
            wrong = times[each.false_frames[order]].cumsum()
            first = np.searchsorted(wrong, allowed, side="right")
            threshold = _above(each.false_scores[order[first]]) if first < len(wrong) else 0.0
            faces = times[each.face_frames]
            found = faces[each.scores >= max(threshold, LEAST_SCORE)].sum()
            recall[place] = found / max(faces.sum(), 1)
    return recalls


def _allowed(rate: float, frames: int) -> int:
    """False positives that ``rate`` a frame allows in so many frames."""
    return int(rate * frames + 1e-9)


def _above(score: float) -> float:
    """The lowest float32 that is over a score."""
    return float(np.nextafter(np.float32(score), np.float32(2)))


def match(
    found: Sequence[Detections],
    truths: Sequence[Truth | None],
    frames: Sequence[np.ndarray],
) -> Matches:
    """Match detections with faces, frame by frame, the best scores first.

    Args:
        found: of each frame, best first, from ``LEAST_SCORE`` on.
        truths: of each frame; None for the empty ones, which come last.
        frames: (rows, columns) uint8 each.
    """
    faces: list[tuple[float, ...]] = []
    wrong: list[tuple[int, float]] = []
    for number, (said, truth, frame) in enumerate(zip(found, truths, frames, strict=True)):
        if truth is None:
            wrong += [(number, float(score)) for score in said.scores]
            continue
        shares = overlaps(said.boxes, truth.boxes)
        left = np.ones(len(truth.boxes), bool)
        hit = np.full(len(truth.boxes), -1)
        for index in range(len(said)):
            row = np.where(left, shares[index], 0) if len(left) else np.zeros(0)
            if len(row) and row.max() >= MATCHED:
                hit[row.argmax()] = index
                left[row.argmax()] = False
            elif not _on_ignored(said.boxes[index], truth.ignored):
                wrong.append((number, float(said.scores[index])))
        for face, index in enumerate(hit):
            box = truth.boxes[face]
            error = np.nan
            if index >= 0:
                error = _landmark_error(said.landmarks[index], truth.landmarks[face])
            score = float(said.scores[index]) if index >= 0 else 0.0
            faces.append((number, float(box[3]), _light(frame, box), score, error))
    table = np.array(faces, float).reshape(-1, 5)
    rest = np.array(wrong, float).reshape(-1, 2)
    return Matches(
        frames=len(truths),
        empty=sum(truth is None for truth in truths),
        face_frames=table[:, 0].astype(int),
        heights=table[:, 1],
        lights=table[:, 2],
        scores=table[:, 3],
        errors=table[:, 4],
        false_frames=rest[:, 0].astype(int),
        false_scores=rest[:, 1],
    )


def overlaps(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of every pair of boxes (N, 4) and (M, 4), (N, M)."""
    ones, others = ones[:, None], others[None]
    low = np.maximum(ones[..., :2], others[..., :2])
    high = np.minimum(ones[..., :2] + ones[..., 2:], others[..., :2] + others[..., 2:])
    both = np.maximum(high - low, 0).prod(axis=2)
    areas = ones[..., 2:].prod(axis=2) + others[..., 2:].prod(axis=2)
    return both / np.maximum(areas - both, 1e-9)


def _on_ignored(box: np.ndarray, ignored: np.ndarray) -> bool:
    """Whether half of the box lies on a face that does not count."""
    if not len(ignored):
        return False
    low = np.maximum(box[:2], ignored[:, :2])
    high = np.minimum(box[:2] + box[2:], ignored[:, :2] + ignored[:, 2:])
    both = np.maximum(high - low, 0).prod(axis=1)
    return bool(both.max() >= 0.5 * box[2] * box[3])


def _landmark_error(said: np.ndarray, true: np.ndarray) -> float:
    eyes = max(float(np.linalg.norm(true[0] - true[1])), 1e-6)
    return float(np.linalg.norm(said - true, axis=1).mean() / eyes)


def _light(frame: np.ndarray, box: np.ndarray) -> float:
    left, top = np.maximum(box[:2], 0).astype(int)
    right, bottom = np.ceil(box[:2] + box[2:]).astype(int)
    inside = frame[top:bottom, left:right]
    return float(inside.mean()) if inside.size else 0.0


def _share(part: np.ndarray, whole: np.ndarray, resamples: int) -> Estimate:
    """Sum of ``part`` over that of ``whole``, frames resampled for the interval."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(part), (resamples, len(part)))
    shares = part[drawn].sum(axis=1) / np.maximum(whole[drawn].sum(axis=1), 1)
    return _estimate(float(part.sum() / max(whole.sum(), 1)), shares)


def _estimate(value: float, resampled: np.ndarray) -> Estimate:
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Estimate(value, float(low), float(high))


def _rounded(estimate: Estimate) -> dict[str, float]:
    return {name: round(value, 4) for name, value in vars(estimate).items()}
