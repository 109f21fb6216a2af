"""Everything that an export found out, whatever the gate says of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fer_edge.bundle import INT8_TFLITE
from fer_edge.errors import GateRefused
from fer_edge.evaluation.calibration import Bin
from fer_edge.evaluation.metrics import Report
from fer_edge.export.converters.micro import Micro
from fer_edge.export.judging.budget import Budget
from fer_edge.export.judging.certainty import Certainty
from fer_edge.export.judging.measure import Format
from fer_edge.export.remedies.batch_norm import BatchNorms
from fer_edge.export.remedies.ladder import Climb
from fer_edge.export.source import Base


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What was measured, of what, and how it came about.

    Attributes:
        name, description: of the recipe.
        dataset: its name, fingerprint and which split served what.
        splits: held-out.
        persons: how many are in the held-out images, resampled for the intervals; None where the
            dataset does not say who is in its pictures, and images are.
        reference, reference_unleaked: the float32 Keras model with its batch norms, on all held-out
            images and on those that training never saw.
        reference_reliability: its confidence beside its accuracy, on those of ``reference_own``.
        formats: the exported files.
        budget: what the gate judged by.
        precision: the dtype policy of the saved network; exported and compared in float32.
        macs: multiply-accumulates of one inference.
        folded: batch norms folded by ``fold_batch_norms``.
        calibration_images: how many the quantizers saw.
        climb: the remedies that were tried, and what each bought.
        batch_norms: whether they know the training images; None where that cannot be told.
        target: the board that was asked for.
        micro: what TFLite Micro takes for the int8 TFLite, where it was asked.
        head: of a run with several; None of a network with one output.
        base: the finished network that was fine-tuned; None of one trained from the beginning.
        truth: what held-out images were judged by, ``labels`` or ``FER+ majority``.
        temperature: that training divided the logits by; None if it did not.
        logit_adjustment: what training added to the logits before, by class.
        instructions: for one face, by processor and by ``float32`` and ``int8``; empty where they
            were not counted.
        certainty: from which probability on the int8 TFLite is to be believed; None where that
            cannot be told.
        tools: versions by name.
    """

    name: str
    description: str
    dataset: dict[str, Any]
    splits: tuple[str, ...]
    persons: int | None
    reference: Report
    reference_unleaked: Report | None
    reference_reliability: tuple[Bin, ...]
    formats: tuple[Format, ...]
    budget: Budget
    precision: str
    macs: int
    folded: int
    calibration_images: int
    climb: Climb
    batch_norms: BatchNorms | None
    target: str | None
    micro: Micro | None
    head: str | None
    base: Base | None
    truth: str
    temperature: float | None
    logit_adjustment: dict[str, float]
    instructions: dict[str, dict[str, float]]
    certainty: Certainty | None
    tools: dict[str, str]

    @property
    def passed(self) -> bool:
        """Whether the gate let every judged file pass."""
        return all(each.verdict.passed for each in self.formats if each.verdict)

    @property
    def reference_own(self) -> Report:
        """The float model's figures without copies of training images, if some are left."""
        return self.reference_unleaked or self.reference

    @property
    def copies(self) -> int:
        """Held-out images of which training saw an identical one."""
        unleaked = self.reference_unleaked
        return self.reference.images - (0 if unleaked is None else unleaked.images)

    @property
    def phase(self) -> str:
        """What the run was: ``training``, or ``fine-tuning`` of another network."""
        return "training" if self.base is None else "fine-tuning"

    @property
    def over_persons(self) -> str:
        """What a bootstrap was over, such as `` over the 39 persons``; empty where over images."""
        return "" if self.persons is None else f" over the {self.persons} persons"

    @property
    def int8(self) -> Format:
        """The int8 TFLite."""
        return next(each for each in self.formats if each.name == INT8_TFLITE)

    @property
    def making(self) -> dict[str, Any]:
        """JSON-ready: how the files came about."""
        return {
            "precision": self.precision,
            "multiply_accumulates": self.macs,
            "folded_batch_norms": self.folded,
            "calibration_images": self.calibration_images,
            "ladder": asdict(self.climb),
            "batch_norms": None if self.batch_norms is None else asdict(self.batch_norms),
            "target": self.target,
            "micro": None if self.micro is None else asdict(self.micro),
            "temperature": self.temperature,
            "logit_adjustment": self.logit_adjustment,
        }

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        unleaked = self.reference_unleaked
        persons = {} if self.persons is None else {"persons": self.persons}
        return persons | {
            "name": self.name,
            "description": self.description,
            "dataset": self.dataset,
            "splits": list(self.splits),
            "head": self.head,
            "base": None if self.base is None else self.base.to_dict(),
            "truth": self.truth,
            "uncertain": None if self.certainty is None else self.certainty.to_dict(),
            "passed": self.passed,
            "budget": self.budget.model_dump(),
            "reference": self.reference.to_dict(),
            "reference_unleaked": None if unleaked is None else unleaked.to_dict(),
            "reference_reliability": [asdict(each) for each in self.reference_reliability],
            "formats": [each.to_dict() for each in self.formats],
            "instructions": self.instructions,
            **self.making,
            "tools": self.tools,
        }


class Refusal(GateRefused):
    """A refused export, with everything that it found out.

    Args:
        message, hint: for people.
        findings: JSON-ready; ``passed`` is false.
    """

    def __init__(self, message: str, hint: str, findings: dict[str, Any]) -> None:
        super().__init__(message, hint)
        self.findings = findings


@dataclass(frozen=True, kw_only=True)
class Export(Findings):
    """The findings of an export that passed the gate.

    Attributes:
        bundle: the file written.
    """

    bundle: Path

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        written = {"bundle": str(self.bundle), "bytes": self.bundle.stat().st_size}
        return written | super().to_dict()
