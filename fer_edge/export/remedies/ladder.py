"""Remedies for what int8 loses, tried from the cheapest on until the budget is kept.

1. *rewrites*: batch norms folded, channels equalized, default ranges. Exact and free.
2. *ranges*: the method of ``ranges`` that suits this network.
3. *equalization*: with other strengths, or none; *bias correction*.
4. *float layers*: the layers that cost the most compute in float, as few as needed.
5. *fine-tuning*: a few hundred steps of training with rounded weights and activations.

A remedy is kept only where it brings the probabilities nearer to the float model's, on images that
were neither calibrated on nor are tested on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import keras
import numpy as np

from fer_edge.evaluation.metrics import Drop
from fer_edge.export.converters import tflite
from fer_edge.export.converters.isolating import SOFTMAX, WEIGHTED, kernel_of, quantizable
from fer_edge.export.converters.tflite_graph import short_name
from fer_edge.export.judging.layers import IMAGES, layer_costs
from fer_edge.export.material import Material
from fer_edge.export.remedies.bias_correction import correct_biases
from fer_edge.export.remedies.equalizing import GENTLE, Strength, equalize
from fer_edge.export.remedies.finetuning import STEPS, fine_tune
from fer_edge.export.remedies.folding import chain
from fer_edge.export.remedies.ranges import AUTO, METHODS, first_method

STRENGTHS = (None, Strength(0.5, 4096.0), Strength(0.8, 4096.0))
"""Tried beside the default one."""

Say = Callable[[str], None]
Attempt = tuple[str, str, "Candidate"]
"""A remedy, what exactly was tried, and what came of it."""


@dataclass(frozen=True)
class Rung:
    """One remedy, tried.

    Attributes:
        name: ``folding`` (plain int8), ``rewrites``, ``ranges``, ``equalization``, ``bias
            correction``, ``float layers`` or ``fine-tuning``.
        tried: what exactly, such as ``percentile`` or the layers in float.
        accuracy_drop: points, on the rehearsal; negative where int8 is better.
        agreement: with the float model, 0..1.
        mean_difference, largest_difference: of a probability.
        kept: it was the best so far.
        passed: the budget was kept on the rehearsal.
        refused: the gate's word on the test split; None where it was not asked.
    """

    name: str
    tried: str
    accuracy_drop: float
    agreement: float
    mean_difference: float
    largest_difference: float
    kept: bool
    passed: bool
    refused: bool | None = None


@dataclass(frozen=True)
class Climb:
    """What the ladder did.

    Attributes:
        needed: the last remedy that was kept.
        ranges: the method of the ranges.
        float_layers: operators left in float, by their output tensor's name.
        origin: of the images that remedies were compared on.
        images: how many.
        rungs: every remedy tried, in order.
    """

    needed: str
    ranges: str
    float_layers: tuple[str, ...]
    origin: str
    images: int
    rungs: tuple[Rung, ...]


@dataclass(frozen=True)
class Candidate:
    """An int8 model and how it came about.

    Attributes:
        network: what was quantized, float32, batch size 1.
        int8: the flatbuffer.
        ranged: the float flatbuffer with the ranges that it was quantized with.
        ranges: their method.
        float_layers: operators left in float, by their output tensor's name.
        lost: against the float model, on the rehearsal.
        passed: the rehearsal kept the budget.
        corrected: its biases were.
    """

    network: keras.Model
    int8: bytes
    ranged: bytes
    ranges: str
    float_layers: tuple[str, ...]
    lost: Drop
    passed: bool
    corrected: bool = False

    @property
    def float_kernels(self) -> list[np.ndarray]:
        """The weights of the layers left in float that have any, as the flatbuffer has them."""
        left = [op for op in quantizable(self.ranged) if op.name in self.float_layers]
        return [kernel_of(self.ranged, op) for op in left if op.kind in WEIGHTED]

    def better_than(self, other: Candidate) -> bool:
        """One that keeps the budget; then by mean difference of probabilities, then agreement."""
        return self._demerit() < other._demerit()

    def _demerit(self) -> tuple[bool, float, float]:
        mean = self.lost.mean_difference.value
        # a NaN, of a file that computes none, must not win
        return not self.passed, mean if mean == mean else float("inf"), -self.lost.agreement.value


class Ladder:
    """Climbs from remedy to remedy.

    ``climb`` stops at the first candidate that keeps the budget on the rehearsal; called again,
    after the gate has refused that one, it goes on.

    Args:
        material: network, images and budget.
        say: told what is being tried, and what it gave.
        plain: no remedy at all: batch norms folded, one method of ranges, and that is it.
    """

    def __init__(
        self, material: Material, say: Say = lambda line: None, *, plain: bool = False
    ) -> None:
        self._material, self._say = material, say
        self.plain = plain
        self._best: Candidate | None = None
        self._given: Candidate | None = None
        self._remedies = self._plain() if plain else self._all_remedies()
        self.rungs: list[Rung] = []

    @property
    def best(self) -> Candidate:
        """The best candidate so far; ``climb`` comes first."""
        assert self._best is not None
        return self._best

    def climb(self) -> bool:
        """Try remedies until the best candidate keeps the budget on the rehearsal.

        Returns:
            Whether ``best`` is another one than after the last call.
        """
        attempts = next(self._remedies, None)
        while attempts is not None:
            passed = [self._record(*attempt) for attempt in attempts]
            if any(passed):
                return self._hand_out()
            attempts = next(self._remedies, None)
        return self._hand_out()

    def refused(self) -> None:
        """Note that the gate refused the best candidate on the test split."""
        last = max(place for place, rung in enumerate(self.rungs) if rung.kept)
        self.rungs[last] = replace(self.rungs[last], refused=True)

    def summary(self) -> Climb:
        """What was tried so far."""
        return Climb(
            needed=next(rung.name for rung in reversed(self.rungs) if rung.kept),
            ranges=self.best.ranges,
            float_layers=self.best.float_layers,
            origin=self._material.rehearsal.origin,
            images=len(self._material.rehearsal.faces),
            rungs=tuple(self.rungs),
        )

    def _hand_out(self) -> bool:
        fresh = self._best is not self._given
        self._given = self._best
        return fresh

    def _record(self, name: str, what: str, candidate: Candidate) -> bool:
        kept = self._best is None or candidate.better_than(self._best)
        if kept:
            self._best = candidate
        lost = candidate.lost
        self.rungs.append(
            Rung(
                name,
                what,
                round(100 * lost.accuracy.value, 3),
                lost.agreement.value,
                lost.mean_difference.value,
                lost.largest_difference.value,
                kept,
                candidate.passed,
            )
        )
        self._say(
            f"  {name} ({what}): agreement {lost.agreement.value:.1%}, mean difference of "
            f"probability {lost.mean_difference.value:.4f}{'' if kept else '; not kept'}"
        )
        return kept and candidate.passed

    def _all_remedies(self) -> Iterator[list[Attempt]]:
        yield from self._rewrites()
        yield from self._ranges()
        yield from self._equalization()
        yield from self._bias_correction()
        yield from self._float_layers()
        yield from self._fine_tuning()

    def _plain(self) -> Iterator[list[Attempt]]:
        method = first_method(self._material.ranges)
        yield [("folding", method, self._candidate(self._material.folded, method))]

    def _rewrites(self) -> Iterator[list[Attempt]]:
        material = self._material
        method = first_method(material.ranges)
        network = equalize(material.folded, material.calibration, GENTLE)
        yield [("rewrites", method, self._candidate(network, method))]

    def _ranges(self) -> Iterator[list[Attempt]]:
        if self._material.ranges != AUTO:
            return
        first, others = self.best, [m for m in METHODS if m != self.best.ranges]
        rangeless = tflite.calibratable(first.network, self._material.calibration)
        seen = tflite.observe(rangeless, self._material.calibration, others)
        ranged = {method: tflite.with_ranges(rangeless, seen, method) for method in others}
        yield [
            ("ranges", method, self._quantized(first.network, content, method))
            for method, content in ranged.items()
        ]

    def _equalization(self) -> Iterator[list[Attempt]]:
        material, method = self._material, self.best.ranges
        if chain(material.folded) is None:
            return
        yield [
            (
                "equalization",
                "none" if strength is None else str(strength),
                self._candidate(equalize(material.folded, material.calibration, strength), method),
            )
            for strength in STRENGTHS
        ]

    def _bias_correction(self) -> Iterator[list[Attempt]]:
        best = self.best
        int8 = correct_biases(best.int8, best.ranged, self._material.calibration)
        corrected = self._judged(best.network, int8, best.ranged, best.ranges)
        yield [("bias correction", "by layer", replace(corrected, corrected=True))]

    def _float_layers(self) -> Iterator[list[Attempt]]:
        """Twice as many each time, all but one at most; of the first ones that do, the fewest."""
        start = self.best
        costly = self._costliest(start)
        failing, count, most = 0, 1, len(costly) - 1
        while failing < most:
            candidate = self._with_float(start, costly[:count])
            if candidate.passed:
                candidate = self._fewest(start, costly, failing, candidate)
            yield [("float layers", _named(candidate.float_layers), candidate)]
            # after one that the gate refused, those between it and the next are tried as well
            failing, count = len(candidate.float_layers), min(2 * count, most)

    def _fewest(
        self, start: Candidate, costly: list[str], failing: int, passing: Candidate
    ) -> Candidate:
        """Bisect between a number of float layers that does not do and one that does."""
        while len(passing.float_layers) - failing > 1:
            middle = (len(passing.float_layers) + failing) // 2
            candidate = self._with_float(start, costly[:middle])
            if candidate.passed:
                passing = candidate
            else:
                failing = middle
        return passing

    def _fine_tuning(self) -> Iterator[list[Attempt]]:
        material, best = self._material, self.best
        if chain(best.network) is None:
            return
        self._say("  fine-tuning with rounded weights and activations …")
        network = fine_tune(
            best.network, material.training, material.calibration, ranges=best.ranges
        )
        candidate = self._candidate(network, best.ranges)
        yield [("fine-tuning", f"{STEPS} steps", candidate)]
        if self.best is candidate:
            yield from self._float_layers()

    def _costliest(self, start: Candidate) -> list[str]:
        """Output tensors of the layers, by what each costs when it alone is in int8.

        Without the softmax, which goes with the logits: its cost is that of int8 answers.
        """
        operators = [op for op in quantizable(start.ranged) if op.kind != SOFTMAX]
        costs = layer_costs(start.ranged, operators, self._material.rehearsal.first(IMAGES))
        order = sorted(range(len(costs)), key=lambda place: -costs[place].mean_difference.value)
        return [operators[place].name for place in order]

    def _with_float(self, start: Candidate, names: list[str]) -> Candidate:
        int8 = tflite.quantize(start.ranged, names)
        if start.corrected:
            int8 = correct_biases(int8, start.ranged, self._material.calibration)
        judged = self._judged(start.network, int8, start.ranged, start.ranges, tuple(names))
        return replace(judged, corrected=start.corrected)

    def _candidate(self, network: keras.Model, method: str) -> Candidate:
        calibration = self._material.calibration
        rangeless = tflite.calibratable(network, calibration)
        seen = tflite.observe(rangeless, calibration, (method,))
        return self._quantized(network, tflite.with_ranges(rangeless, seen, method), method)

    def _quantized(self, network: keras.Model, ranged: bytes, method: str) -> Candidate:
        return self._judged(network, tflite.quantize(ranged), ranged, method)

    def _judged(
        self,
        network: keras.Model,
        int8: bytes,
        ranged: bytes,
        method: str,
        float_layers: tuple[str, ...] = (),
    ) -> Candidate:
        rehearsal = self._material.rehearsal
        lost = rehearsal.compare(int8)
        passed = rehearsal.judge(lost, self._material.budget).passed
        return Candidate(network, int8, ranged, method, float_layers, lost, passed)


def _named(tensors: Iterable[str]) -> str:
    return ", ".join(short_name(name) for name in tensors)
