"""The part of a recipe that is a detector's alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from fer_edge.errors import FerEdgeError

if TYPE_CHECKING:
    from fer_edge.data.detection.frames import Composition
    from fer_edge.train.recipe import Recipe


class FramesTable(BaseModel):
    """What a detector's training frames are composed of; lengths in pixels of the frame."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    per_epoch: int = Field(default=4000, ge=1)
    """Frames composed anew for each epoch."""
    width: int = Field(default=320, ge=64, le=1280, multiple_of=8)
    height: int = Field(default=240, ge=48, le=1280, multiple_of=8)
    smallest: float = Field(default=20, ge=8)
    largest: float = Field(default=260, ge=8)
    """Heights of the faces' boxes, drawn with their logarithms alike."""
    most: int = Field(default=4, ge=1, le=20)
    """Heads in one frame."""
    empty: float = Field(default=0.15, ge=0, le=1)
    """Share of frames without a face."""
    mined: float = Field(default=0.125, ge=0, le=0.5)
    """Share of each batch that is empty frames in which the network saw faces before the epoch."""
    rotation_degrees: float = Field(default=25, ge=0, le=90)
    """Largest tilt of a head."""
    occlusion: float = Field(default=0.2, ge=0, le=1)
    """Share of heads with something before a part of the face."""
    bars: float = Field(default=0.1, ge=0, le=1)
    """Share of frames of a wider picture, black below it as a device fits one in."""
    light: float = Field(default=0.25, ge=0, lt=1)
    """Largest change of brightness, as a share of the range of pixels, of contrast and of gamma."""
    dark: float = Field(default=0.12, ge=0, le=1)
    """Share of frames in low light."""
    shadow: float = Field(default=0.6, ge=0, lt=1)
    """Largest share of light that a shadow over a part of the frame takes."""
    blur: float = Field(default=1.8, ge=0, le=8)
    """Largest σ of a Gaussian."""
    motion: float = Field(default=9, ge=0, le=24)
    """Longest motion."""
    noise: float = Field(default=14, ge=0, le=128)
    """Largest σ of the sensor's noise, in steps of 255."""
    jpeg: int = Field(default=30, ge=0, le=95)
    """Lowest quality; 0 does not compress."""
    probability: float = Field(default=0.35, ge=0, le=1)
    """Of a frame to undergo each one from shadow on, low light aside."""
    held_out: int = Field(default=600, ge=1)
    """Frames of validation and of the test, and half as many empty ones."""
    backgrounds: list[str] = []
    """Folders of photographs without faces; none: clutter is drawn."""

    def composition(self) -> Composition:
        """The same for ``fer_edge.data.detection.frames``."""
        from fer_edge.data.detection.frames import Composition
        from fer_edge.data.detection.lens import Lens

        named = self.model_dump()
        lens = Lens(**{key: named[key] for key in Lens.__dataclass_fields__})
        keys = set(Composition.__dataclass_fields__) & set(named)
        return Composition(
            size=(self.width, self.height), lens=lens, **{key: named[key] for key in keys}
        )


def check_task(recipe: Recipe, source: str) -> None:
    """Raises:
    FerEdgeError: task and model do not go together, or a detector is asked for what it has not.
    """
    if (recipe.task == "detect") != (recipe.model.name == "detector"):
        raise FerEdgeError(
            f"recipe {source}: task = '{recipe.task}' with the model '{recipe.model.name}'",
            "a detector has task = 'detect' and model.name = 'detector'",
        )
    if recipe.task == "classify":
        return
    if recipe.fit.select == "best" or recipe.fit.patience or recipe.fit.temperature:
        raise FerEdgeError(
            f"recipe {source}: a detector has no validation accuracy to go by",
            "set fit.select = 'last', fit.patience = 0 and fit.temperature = false",
        )
    if recipe.data.division is not None or not recipe.data.validation:
        raise FerEdgeError(
            f"recipe {source}: photos are divided by name into Training, PublicTest, PrivateTest",
            "set data.divide = 'as-given' and data.validation = ['PublicTest']",
        )
    if recipe.frames.smallest > recipe.frames.largest:
        raise FerEdgeError(
            f"recipe {source}: frames.smallest is {recipe.frames.smallest:g}, frames.largest "
            f"{recipe.frames.largest:g}",
            "give the smaller one first",
        )
