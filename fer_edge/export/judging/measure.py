"""Exported files against the float Keras model, on the same held-out images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import keras
import numpy as np

from fer_edge.bundle import INT8_TFLITE
from fer_edge.data.dataset import Dataset
from fer_edge.errors import FerEdgeError
from fer_edge.evaluation.calibration import Bin, reliability
from fer_edge.evaluation.classifier import check_numbers, leaked_mask
from fer_edge.evaluation.metrics import Drop, Report, drop, report
from fer_edge.export.formats import is_exact
from fer_edge.export.judging.budget import Budget
from fer_edge.export.judging.gate import Verdict, judge
from fer_edge.export.judging.timing import Latency, compare_latency
from fer_edge.export.source import Source
from fer_edge.runtime import load_model
from fer_edge.runtime.many import classify_many

PARITY = 1e-4
"""Largest difference in probability between Keras and a float export."""
PARITY_IMAGES = 256


@dataclass(frozen=True)
class HeldOut:
    """The images that decide, and what the float model says of them.

    Attributes:
        dataset: of the test splits alone.
        splits: their names.
        clean: (N,) bool, images of which no identical one was trained on.
        reference: (N, classes) float32, the float32 Keras model's probabilities, with its batch
            norms unfolded.
        asked: what files said, by themselves.
    """

    dataset: Dataset
    splits: tuple[str, ...]
    clean: np.ndarray
    reference: np.ndarray
    asked: dict[bytes, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    def ask(self, model: bytes) -> np.ndarray:
        """What a model file says of all images, (N, classes) float32.

        The float files are measured again whenever the ladder climbs on; they are asked once.
        """
        if model not in self.asked:
            self.asked[model] = classify_many(model, self.dataset.faces)
        return self.asked[model]

    @property
    def own(self) -> np.ndarray:
        """(N,) bool, the images that tell how good a model is: the clean ones, if there are any."""
        return self.clean if self.clean.any() else np.ones_like(self.clean)

    @property
    def unseen(self) -> Dataset:
        """The clean images alone."""
        return self.dataset.subset(self.clean)

    def reports(self, said: np.ndarray) -> tuple[Report, Report | None]:
        """Figures of these probabilities on all images, and on the clean ones if there are any."""
        unleaked = _report(said[self.clean], self.unseen) if self.clean.any() else None
        return _report(said, self.dataset), unleaked

    def drops(self, said: np.ndarray) -> tuple[Drop, Drop | None]:
        """What is lost against the float model on all images, and on the clean ones if some are."""
        clean = self.clean
        whole = _drop(self.reference, said, self.dataset)
        if clean.all() or not clean.any():
            return whole, None
        return whole, _drop(self.reference[clean], said[clean], self.unseen)

    def class_images(self, *, clean: bool = False) -> dict[str, int]:
        """Images of each class, among the clean ones or among all."""
        targets = self.dataset.targets[self.clean] if clean else self.dataset.targets
        counts = np.bincount(targets, minlength=len(self.dataset.labels)).tolist()
        return dict(zip(self.dataset.labels, counts, strict=True))

    def judge(
        self,
        drops: tuple[Drop, Drop | None],
        budget: Budget,
        size: int | None = None,
        arena: int | None = None,
    ) -> Verdict:
        """The gate's answer for a file that lost ``drops``; its bytes where they are limited."""
        whole, unleaked = drops
        clean = None if unleaked is None else (unleaked, self.class_images(clean=True))
        return judge(whole, self.class_images(), budget, unleaked=clean, size=size, arena=arena)


@dataclass(frozen=True)
class Format:
    """One exported file: its figures on the held-out split and against the float Keras model.

    Attributes:
        name: member of the bundle, such as ``model.int8.tflite``.
        size: bytes.
        whole, unleaked: figures on all held-out images and on those that training never saw.
        drop: against the float model, on all held-out images.
        drop_unleaked: the same on those that training never saw; None where that is all or none.
        verdict: of the gate; None for a float format.
        latency: single-thread, for one face.
        reliability: confidence beside accuracy, on the images of ``own``.
    """

    name: str
    size: int
    whole: Report
    unleaked: Report | None
    drop: Drop
    drop_unleaked: Drop | None
    verdict: Verdict | None
    latency: Latency
    reliability: tuple[Bin, ...]

    @property
    def own(self) -> Report:
        """The figures that are the model's own: without copies of training images, if some are."""
        return self.unleaked or self.whole

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        unleaked = self.drop_unleaked
        return asdict(self) | {
            "drop": self.drop.to_dict(),
            "drop_unleaked": None if unleaked is None else unleaked.to_dict(),
            "verdict": None if self.verdict is None else self.verdict.to_dict(),
        }


def check_enough(source: Source, budget: Budget) -> None:
    """Refuse at once to judge by a handful of images.

    Raises:
        FerEdgeError: the test splits hold fewer than ``budget.min_images`` that training never saw,
            or fewer in all where it saw every one.
    """
    splits = source.roles["test"]
    seen = leaked_mask(source.dataset, source.roles["train"], splits)
    count = int((~seen).sum()) or len(seen)
    if count < budget.min_images:
        raise FerEdgeError(
            f"{count} held-out images of {', '.join(splits)} are too few to tell what int8 costs, "
            f"the budget's min_images is {budget.min_images}",
            "hold out more (data.test_share, or more pictures), or try things out with --budget "
            "prototype",
        )


def hold_out(source: Source) -> HeldOut:
    """Ask the float model about the run's test splits.

    Raises:
        FerEdgeError: it gives no numbers.
    """
    splits = tuple(source.roles["test"])
    selected = source.dataset.select(splits)
    network: keras.Model = source.network
    reference = network.predict(selected.faces[..., None], batch_size=128, verbose=0)
    check_numbers(reference)
    clean = ~leaked_mask(source.dataset, source.roles["train"], splits)
    return HeldOut(selected, splits, clean, reference)


def check_parity(content: Mapping[str, bytes], held_out: HeldOut) -> None:
    """Compare the float formats among ``content`` with Keras on ``PARITY_IMAGES`` images.

    Raises:
        FerEdgeError: one differs by more than ``PARITY`` in some probability.
    """
    faces = held_out.dataset.faces[:PARITY_IMAGES]
    for name in filter(is_exact, content):
        said = classify_many(content[name], faces)
        difference = np.abs(said - held_out.reference[: len(faces)]).max()
        # a NaN must fail as well
        if not difference <= PARITY:
            raise FerEdgeError(
                f"{name} does not compute what Keras does: a probability differs by "
                f"{difference:.2g}, {PARITY:g} is allowed",
                "a layer is converted wrongly; report it with the recipe",
            )


def measure(
    content: Mapping[str, bytes], held_out: HeldOut, budget: Budget, arena: int | None = None
) -> tuple[Format, ...]:
    """Measure every format, and judge those that are not exact.

    Args:
        content: model files by their name in the bundle.
        held_out: the images and the float model's answers.
        budget: what they may lose.
        arena: bytes that TFLite Micro takes for the int8 TFLite, where it was asked.
    """
    dataset = held_out.dataset
    single = {name: load_model(data) for name, data in content.items()}
    latency = compare_latency(single, dataset.faces[:1, ..., None])
    formats = []
    for name, data in content.items():
        said = held_out.ask(data)
        drops = held_out.drops(said)
        whole, unleaked = held_out.reports(said)
        limits = (len(data), arena) if name == INT8_TFLITE else ()
        formats.append(
            Format(
                name=name,
                size=len(data),
                whole=whole,
                unleaked=unleaked,
                drop=drops[0],
                drop_unleaked=drops[1],
                verdict=None if is_exact(name) else held_out.judge(drops, budget, *limits),
                latency=latency[name],
                reliability=reliability(said[held_out.own], dataset.targets[held_out.own]),
            )
        )
    return tuple(formats)


def _report(said: np.ndarray, judged: Dataset) -> Report:
    return report(said, judged.targets, judged.labels, subjects=judged.subjects)


def _drop(reference: np.ndarray, said: np.ndarray, judged: Dataset) -> Drop:
    return drop(reference, said, judged.targets, judged.labels, subjects=judged.subjects)
