"""What an int8 model may lose against its float model, as TOML."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fer_edge.errors import FerEdgeError

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
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FerEdgeError(
            f"cannot read the budget {path}: {(error.strerror or '').lower()}",
            "give a TOML file such as export/budgets/default.toml",
        ) from error
    except ValueError as error:
        raise FerEdgeError(
            f"budget {path} is not valid TOML: {error}", "see export/README.md for an example"
        ) from error
    try:
        return Budget.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        known = list(Budget.model_fields)
        if first["type"] == "extra_forbidden":
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}"
            raise FerEdgeError(f"budget {path}: unknown key '{key}'", hint) from error
        raise FerEdgeError(
            f"budget {path}: {key}: {first['msg'].lower()}, got {first['input']!r}",
            "points and percents are numbers from 0 to 100, recall_min_images is a whole number",
        ) from error
