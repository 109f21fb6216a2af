"""What an int8 model may lose against its float model, as TOML."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from fer_edge.errors import FerEdgeError
from fer_edge.schema import check_toml, read_toml

LEAST_AGREEMENT = 50.0
"""Percent; a model that agrees less often is another model."""


def _no_share(percent: float) -> float:
    """A limit of 0.97 was meant to be one of 97."""
    if percent < LEAST_AGREEMENT:
        raise PydanticCustomError("share", "percent, not a share")
    return percent


Points = Annotated[float, Field(ge=0, le=100)]
Percent = Annotated[Points, AfterValidator(_no_share)]
Kilobytes = Annotated[float, Field(gt=0)]


class DetectorBudget(BaseModel):
    """Limits for a face detector; at a threshold that leaves so many false positives."""

    # strict: true is no number, though Python counts it as 1
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    false_positives_per_frame: float = Field(default=0.03, gt=0, le=10)
    """At which recall is taken, of the float detector and of the int8 one each."""
    recall_drop_points: Points = 1.0
    """Recall of the float detector minus that of the int8 one."""
    recall_percent: Points = 0.0
    """That the int8 detector must reach at least; 0 asks for nothing."""
    landmark_error_rise_points: Points = 1.0
    """Of the median error, in hundredths of the distance of the eyes."""
    max_kilobytes: Kilobytes = 150.0
    """Of each file."""


class Budget(BaseModel):
    """Limits of the gate. Points are percentage points; the defaults are the default budget."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    accuracy_drop_points: Points = 1.0
    """Accuracy of the float model minus that of the int8 model."""
    recall_drop_points: Points = 3.0
    """The same for the recall of any one class."""
    macro_f1_drop_points: Points = 1.5
    """The same for macro-F1, in which every class weighs the same."""
    calibration_error_rise_points: Points = 3.0
    """Expected calibration error of the int8 model minus that of the float model."""
    mean_difference_points: Points = 2.0
    """Difference of a probability, over all images and classes."""
    largest_difference_points: Points = 50.0
    """Difference of the probability that changed most."""
    agreement_percent: Percent = 97.0
    """Images on which both models say the same class."""
    min_images: int = Field(default=30, ge=1)
    """Held-out images that were not seen in training; with fewer nothing is judged at all."""
    recall_min_images: int = Field(default=100, ge=0)
    """A class with fewer held-out images fails by its whole interval: one image weighs too much."""
    max_kilobytes: Kilobytes | None = None
    """Of the int8 TFLite, of 1,000 bytes each."""
    max_arena_kilobytes: Kilobytes | None = None
    """Of memory that TFLite Micro needs for its tensors; for microcontrollers."""
    detector: DetectorBudget = DetectorBudget()
    """For runs that find faces, in place of everything above."""


def shipped_budgets() -> list[str]:
    """Names of the budgets that come with the package."""
    return sorted(
        item.name.removesuffix(".toml")
        for item in _folder().iterdir()
        if item.name.endswith(".toml")
    )


def load_budget(name_or_path: str | Path | None) -> Budget:
    """Read a shipped budget by name, or any by the path of its TOML file; None is the default one.

    Keys left out are those of the budget that ``inherit`` names, another shipped one or a file
    beside this one; without ``inherit`` they keep their default.

    Raises:
        FerEdgeError: no such budget, not TOML, an unknown key, a value out of range, or budgets
            that inherit in a circle.
    """
    if name_or_path is None:
        return Budget()
    content = _inherited(str(name_or_path), Path(), ())
    return check_toml(Budget, content, f"budget {name_or_path}", values=_VALUES)


_EXAMPLE = "see export/README.md for an example"
_VALUES = (
    "points and percents are numbers from 0 to 100 (agreement_percent from 50), min_images and "
    "recall_min_images are whole numbers, sizes are numbers of kilobytes"
)


def _inherited(name: str, folder: Path, heirs: tuple[str, ...]) -> dict[str, Any]:
    """The keys of a budget over those that it inherits; ``heirs`` are the budgets that led here."""
    shipped = name in shipped_budgets()
    path = Path(name) if shipped else folder / name
    known = name if shipped else str(path.absolute())
    if known in heirs:
        raise FerEdgeError(
            f"budget {heirs[0]} inherits from itself", "take one 'inherit' out of the circle"
        )
    content = read_toml(_text(name, path, shipped), f"budget {path}", example=_EXAMPLE)
    above = content.pop("inherit", None)
    # so that a mistake names the file that it stands in
    check_toml(Budget, content, f"budget {path}", values=_VALUES)
    if above is None:
        return content
    if not isinstance(above, str):
        raise FerEdgeError(f"budget {path}: inherit: not text, got {above!r}", _EXAMPLE)
    inherited = _inherited(above, path.parent, (*heirs, known))
    tables = [each["detector"] for each in (inherited, content) if "detector" in each]
    merged = {"detector": {**tables[0], **tables[-1]}} if tables else {}
    return inherited | content | merged


def _text(name: str, path: Path, shipped: bool) -> str:
    try:
        if shipped:
            return (_folder() / f"{name}.toml").read_text(encoding="utf-8")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise FerEdgeError(f"budget {path} is not valid TOML: {error}", _EXAMPLE) from error
    except OSError as error:
        raise FerEdgeError(
            f"cannot read the budget {path}: {(error.strerror or '').lower()}",
            f"give a TOML file, or one of {', '.join(shipped_budgets())}",
        ) from error


def _folder() -> Any:
    return resources.files("fer_edge.export") / "budgets"
