"""What an int8 model may lose against its float model, as TOML."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from fer_edge.errors import FerEdgeError
from fer_edge.schema import parse_toml

Points = Annotated[float, Field(ge=0, le=100)]


class Budget(BaseModel):
    """Limits of the gate. Points are percentage points; the defaults are the default budget."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    accuracy_drop_points: Points = 1.0
    """Accuracy of the float model minus that of the int8 model."""
    recall_drop_points: Points = 3.0
    """The same for the recall of any one class."""
    agreement_percent: Points = 97.0
    """Images on which both models say the same class."""
    recall_min_images: int = Field(default=100, ge=0)
    """A class with fewer held-out images fails by its whole interval: one image weighs too much."""


def load_budget(path: Path | None) -> Budget:
    """Read a budget; keys left out keep their default, None is the default budget.

    Raises:
        FerEdgeError: no such file, not TOML, an unknown key, or a value out of range.
    """
    if path is None:
        return Budget()
    example = "see export/README.md for an example"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise FerEdgeError(
            f"cannot read the budget {path}: {(error.strerror or '').lower()}",
            "give a TOML file such as export/budgets/default.toml",
        ) from error
    except UnicodeDecodeError as error:
        raise FerEdgeError(f"budget {path} is not valid TOML: {error}", example) from error
    return parse_toml(
        Budget,
        text,
        f"budget {path}",
        example=example,
        values="points and percents are numbers from 0 to 100, recall_min_images is a whole number",
    )
