"""A recipe: everything that determines a training run, as TOML with a validated schema."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field

from fer_edge.data.division import Division
from fer_edge.errors import FerEdgeError, nearest
from fer_edge.schema import parse_toml
from fer_edge.train.consistency import check_consistency
from fer_edge.train.detection.frames_table import FramesTable

Share = Annotated[float, Field(ge=0, lt=1)]
Part = Annotated[float, Field(ge=0, le=1)]
Head = Literal["votes", "fer2013"]
Amount = Annotated[float, Field(ge=-5, le=5)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataTable(_Table):
    """Which splits serve what. Model selection never sees a split in ``test``."""

    divide: Literal["as-given", "by-image", "by-subject"] = "as-given"
    """Divide all faces anew into ``Training`` and ``Test``, by chance or so that nobody stands on
    both sides; ``as-given`` takes the dataset's own splits."""
    test_share: Share = 0.2
    """Of the faces, where they are divided anew."""
    divide_seed: int = Field(default=1, ge=0)
    oversample: Literal["none", "training", "before-dividing"] = "none"
    """Repeat faces until every class is as large as the largest: in the training splits, or, which
    is leaky, before dividing, so that copies of one face stand on both sides."""

    train: list[str] = Field(default=["Training"], min_length=1)
    validation: list[str] = []
    test: list[str] = ["PrivateTest"]
    drop_leaks: bool = False
    """Leave out training images that also stand in the validation or test splits."""

    @property
    def leaky(self) -> bool:
        """Whether copies of training images stand in the test split by design."""
        return self.oversample == "before-dividing"

    @property
    def division(self) -> Division | None:
        """How the dataset is divided anew; None for its own splits."""
        if self.divide == "as-given":
            return None
        return Division(self.divide, self.test_share, self.divide_seed, self.leaky)


class ModelTable(BaseModel):
    """``name`` picks a builder of ``fer_edge.train.models``; the other keys are its arguments."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str

    @property
    def options(self) -> dict[str, Any]:
        """The builder's keyword arguments."""
        return dict(self.model_extra or {})


class TargetsTable(_Table):
    """What the network is taught: FER2013's labels, FER+'s votes, or both."""

    votes: Part = 0
    """Share of FER+'s votes in the target; the rest is the label's."""
    heads: list[Head] = []
    """One output each over a common backbone: ``votes`` learns from the votes alone, ``fer2013``
    from the labels alone. The first is the default. None: one output, by ``votes`` above."""
    head_weights: list[Annotated[float, Field(gt=0)]] = []
    """Of the heads' losses; none: all alike."""

    @property
    def use_votes(self) -> bool:
        """Whether the dataset must have votes."""
        return bool(self.votes) or "votes" in self.heads


class DistillTable(_Table):
    """Larger networks as teachers; none switches it off."""

    teachers: list[str] = []
    """Run folders or bundles, also names of shipped ones, whose answers are averaged, over each
    face and its mirror image. A head learns from the run's head of its name, or from NAME-HEAD.fer
    beside the bundle, where there is one."""
    weight: Part = 0.5
    """Of the teachers' answers in the target."""
    temperature: float = Field(default=1, ge=1)
    """Above 1 softens the teachers' answers."""


class FitTable(_Table):
    """How the weights are found."""

    epochs: int = Field(default=20, ge=1)
    batch_size: int = Field(default=64, ge=1)
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: float = Field(default=1e-3, gt=0)
    schedule: Literal["constant", "cosine"] = "constant"
    restarts: list[Annotated[int, Field(ge=1)]] = []
    """Epochs after which the cosine starts anew from the whole learning rate; its last fall ends
    with the last epoch, and restarts behind that are none."""
    warmup_epochs: float = Field(default=0, ge=0)
    momentum: Share = 0.9
    """Used by sgd only."""
    weight_decay: float = Field(default=0, ge=0)
    label_smoothing: Share = 0
    class_weights: bool = False
    """Weight each image by the inverse frequency of its class, with mean 1 over the images."""
    class_balance: Part = 0
    """How far rare classes are shown more often: a class of n images takes a share of each epoch
    in proportion to n to the power of 1 - class_balance; at 1 all classes come equally often."""
    ema: Share = 0
    """Average the weights over the steps with this factor; validation, selection and the finished
    network take the average. 0.999 averages over the last thousand steps."""
    logit_adjustment: dict[Head, dict[str, Amount]] = {}
    """By head and class, what is added to the finished network's logits, before its temperature is
    fitted; ``fer2013`` is also the only output of a network without heads. Raises a class that
    loses to those it resembles, as in Menon et al. (2021, arXiv 2007.07314)."""
    temperature: bool = False
    """Calibrate the finished network on the validation split: its logits are divided by the number
    that gives the smallest cross-entropy there."""
    select: Literal["best", "last"] = "last"
    """``best``: the epoch with the highest validation accuracy; needs a validation split."""
    patience: int = Field(default=0, ge=0)
    """Stop after so many epochs without a better validation accuracy; 0 never stops early."""
    mixed_precision: Literal["auto", "off", "bfloat16"] = "auto"
    seed: int = Field(default=1, ge=0)


class AugmentTable(_Table):
    """Random changes to training images only; 0 and false switch one off."""

    flip: bool = False
    rotation_degrees: float = Field(default=0, ge=0, le=180)
    shift: Share = 0
    """Largest shift, as a share of the side."""
    zoom: Share = 0
    brightness: Share = 0
    contrast: Share = 0
    erase: Share = 0
    """Largest area of an erased rectangle, as a share of the image."""
    mixup: float = Field(default=0, ge=0)
    """α of the Beta distribution that two images' shares in a blend are drawn from."""
    cutmix: float = Field(default=0, ge=0)
    """α of the Beta distribution of how much of an image a rectangle of another one covers."""
    mix_probability: Part = 1
    """Of a batch to be mixed; where both are on, either way is taken as often."""


class CameraTable(_Table):
    """What a camera and a face detector do to training images; 0 and false switch one off."""

    flip: bool = False
    rotation_degrees: float = Field(default=0, ge=0, le=180)
    shift: Share = 0
    """Largest shift, as a share of the side."""
    scale: Share = 0
    """Largest change of size: 0.2 is from 0.8 to 1.2."""
    light: Share = 0
    """Largest change of brightness, as a share of the range of pixels, of contrast and of gamma."""
    shadow: Share = 0
    """Largest share of light that a shadow over a part of the face takes."""
    occlusion: Share = 0
    """Largest area of a plain rectangle, as a share of the image."""
    blur: float = Field(default=0, ge=0, le=8)
    """Largest σ of a Gaussian, in pixels."""
    motion: float = Field(default=0, ge=0, le=24)
    """Longest motion, up or sideways, in pixels."""
    smallest: int = Field(default=0, ge=0, le=48)
    """Side in pixels of the smallest face that is enlarged to 48."""
    noise: float = Field(default=0, ge=0, le=128)
    """Largest σ of the sensor's noise, in steps of 255."""
    jpeg: int = Field(default=0, ge=0, le=100)
    """Lowest quality, as libjpeg counts."""
    probability: Part = 0.3
    """Of an image to undergo each one from shadow on; the ones before are for every image."""

    @property
    def used(self) -> bool:
        """Whether anything is on."""
        return any(value for key, value in self.model_dump().items() if key != "probability")


class PaperTable(_Table):
    """What a paper reported for this network and dataset. Not used in training.

    Accuracies in 0..1, losses in nats, as the paper calls them or, where it calls the test split
    validation, under the name that they have here.
    """

    name: Literal["triwijoyo", "mondal", "kusno", "kumar"]
    dataset: Literal["fer2013", "ck+48"]
    place: str = ""
    """Table, figure or section."""
    claim: str = ""
    """What is said in words alone."""
    variants: list[Literal["by-image", "by-subject"]] = []
    """Divisions to reproduce it under; none: the recipe's own alone."""
    seeds: list[int] = []
    """Of the weights and the division; none: the recipe's own alone."""
    train_accuracy: float | None = None
    train_loss: float | None = None
    validation_accuracy: float | None = None
    validation_loss: float | None = None
    test_accuracy: float | None = None
    test_loss: float | None = None


class Recipe(_Table):
    """One training run."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    description: str = ""
    task: Literal["classify", "detect"] = "classify"
    """Name the expression of a face, or find the faces of a frame."""
    data: DataTable = DataTable()
    model: ModelTable
    targets: TargetsTable = TargetsTable()
    distill: DistillTable = DistillTable()
    fit: FitTable = FitTable()
    augment: AugmentTable = AugmentTable()
    camera: CameraTable = CameraTable()
    frames: FramesTable = FramesTable()
    paper: PaperTable | None = None

    def to_toml(self) -> str:
        """The resolved recipe, every default written out."""
        return tomli_w.dumps(self.model_dump(exclude_none=True))


def shipped_recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    folder = resources.files("fer_edge.train") / "recipes"
    return sorted(
        item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml")
    )


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Read a shipped recipe by name, or any recipe by the path of its TOML file.

    Raises:
        FerEdgeError: no such recipe, not TOML, an unknown key or a value out of range.
    """
    path = Path(name_or_path)
    if str(name_or_path) in shipped_recipes():
        text = (resources.files("fer_edge.train") / "recipes" / f"{name_or_path}.toml").read_text(
            encoding="utf-8"
        )
    elif path.is_file():
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise FerEdgeError(
                f"cannot read the recipe {path}: {error}", "give a TOML file in UTF-8"
            ) from error
    else:
        known = shipped_recipes()
        shipped = f"shipped recipes are {', '.join(known)}; or give the path of a TOML file"
        raise FerEdgeError(
            f"no recipe '{name_or_path}'", f"{nearest(str(name_or_path), known)} {shipped}".strip()
        )
    return parse_recipe(text, str(name_or_path))


def override(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """Lay ``table.key=value`` settings over a recipe; values are TOML (a bare word is a string).

    Raises:
        FerEdgeError: a setting without '=', an unknown key, or a value out of range.
    """
    if not settings:
        return recipe
    content = recipe.model_dump(exclude_none=True)
    for setting in settings:
        key, equals, text = setting.partition("=")
        table, dot, name = key.strip().partition(".")
        if not equals or not dot or not isinstance(content.get(table), dict):
            raise FerEdgeError(
                f"cannot understand the setting '{setting}'", "write it as --set fit.epochs=5"
            )
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text.strip()
        content[table][name] = value
    return parse_recipe(tomli_w.dumps(content), f"{recipe.name} with --set")


def parse_recipe(text: str, source: str) -> Recipe:
    """Validate a recipe's TOML; ``source`` names it in errors.

    Raises:
        FerEdgeError: not TOML, an unknown key (the nearest known one is suggested), or a value of
            the wrong type or out of range.
    """
    recipe = parse_toml(
        Recipe,
        text,
        f"recipe {source}",
        example="see docs/training.md for an example",
        values="give it such a value; docs/training.md says what it is for",
    )
    check_consistency(recipe, source)
    return recipe
