"""What each ingredient of a recipe buys: the recipe without it, over some seeds.

    python train/ablation.py --data fer2013.faces.npz -o runs/ablation --jobs 2

Trains what is missing in the folder of runs, goes on with what was cut off, and writes
train/ABLATION.md. Only the validation split is looked at: the test split is for finished models.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from fer_edge.errors import FerEdgeError
from fer_edge.evaluation.robustness import CLEAN, robustness_path
from fer_edge.files import write_text
from fer_edge.markdown import markdown_table
from fer_edge.subject import finished_metrics
from fer_edge.train.folders import differing_table, recorded_run
from fer_edge.train.recipe import Recipe, load_recipe, override
from fer_edge.train.reproduce.execute import LocalExecutor, Task

HERE = Path(__file__).parent
INGREDIENTS: dict[str, tuple[str, ...]] = {
    "the recipe": (),
    "no teacher": ("distill.teachers=[]",),
    "the votes alone": ('targets.heads=["votes"]',),
    "the labels alone": ('targets.heads=["fer2013"]',),
    "no distortions but geometry": ("camera.probability=0", "camera.light=0"),
    "distortions twice as often": ("camera.probability=0.2",),
    "mixup and CutMix": ("augment.mixup=0.2", "augment.cutmix=1.0", "augment.mix_probability=0.3"),
    "no averaged weights": ("fit.ema=0",),
    "no class balance": ("fit.class_balance=0",),
    "no label smoothing": ("fit.label_smoothing=0",),
    "branches in training": ("model.branches=true",),
    "label smoothing": ("fit.label_smoothing=0.05",),
}
"""Settings by what they change about the recipe; those that change nothing are left out."""
COLUMNS = (
    "votes, accuracy",
    "votes, distorted faces",
    "FER2013, accuracy",
    "FER2013, macro-F1",
    "fear found",
)
VOTES, DISTORTED = COLUMNS[:2]


@dataclass(frozen=True)
class Planned:
    """A run of the ablation.

    Attributes:
        name: of what is changed.
        recipe: what the run trains.
        folder: of the run.
        task: trains it, or goes on with it.
    """

    name: str
    recipe: Recipe
    folder: Path
    task: Task

    def metrics(self) -> dict[str, Any]:
        """Those of the run once it has reached its end by this very recipe; before, none."""
        metrics = finished_metrics(self.folder)
        if metrics is None or differing_table(recorded_run(self.folder)[0], self.recipe):
            return {}
        return metrics

    def on_distorted(self) -> float:
        """Accuracy of the votes' head on validation faces, mean over all distortions; in 0..1.

        It is kept beside the runs, and measured again where the run is newer.
        """
        kept = self.folder.parent / "distorted" / f"{self.folder.name}.json"
        run = self.folder / "metrics.json"
        if not kept.is_file() or kept.stat().st_mtime < run.stat().st_mtime:
            found = robustness_path(self.folder, None, self.recipe.data.validation, head="votes")
            kept.parent.mkdir(exist_ok=True)
            write_text(kept, json.dumps(found.to_dict()))
        rows = json.loads(kept.read_text())["rows"]
        return mean(row["accuracy"]["value"] for row in rows if row["kind"] != CLEAN)


def plan(
    recipe: str,
    data: Path,
    runs: Path,
    epochs: int,
    seeds: Sequence[int],
    overrides: Sequence[str] = (),
) -> Iterator[Planned]:
    """Every run, a seed after the other; ``overrides`` are laid over the recipe of all of them."""
    for seed in seeds:
        # the test split is left alone
        length = [f"fit.epochs={epochs}", f"fit.seed={seed}", "data.test=[]"]
        first: Recipe | None = None
        for number, (name, changes) in enumerate(INGREDIENTS.items()):
            # one fall of the learning rate, however many the recipe has
            settings = ["fit.restarts=[]", *overrides, *changes, *length]
            planned = override(load_recipe(recipe), settings)
            first = first or planned
            if planned is not first and not differing_table(first, planned):
                continue
            folder = runs.absolute() / f"{recipe}-{epochs}-{number}-{seed}{_suffix(overrides)}"
            arguments = ["train", recipe]
            if (folder / "data.json").exists():
                arguments.append("--resume")
            for setting in settings:
                arguments += ["--set", setting]
            arguments += ["--data", str(data.absolute()), "-o", str(folder)]
            log = runs.absolute() / "logs" / f"{folder.name}.log"
            task = Task(f"{name}, seed {seed}", tuple(arguments), log)
            yield Planned(name, planned, folder, task)


def _suffix(overrides: Sequence[str]) -> str:
    """Of the folders of runs that have something in common which others have not."""
    if not overrides:
        return ""
    return "-" + hashlib.sha256("\n".join(overrides).encode()).hexdigest()[:8]


def figures(metrics: Mapping[str, Any], heads: Sequence[str]) -> dict[str, float]:
    """What a run's metrics say on the validation split, by column; of the heads that it has."""
    found = {}
    for head in heads:
        own = metrics if head == heads[0] else metrics["heads"][head]
        if head == "votes":
            found[VOTES] = own["validation_majority"]["whole"]["accuracy"]["value"]
        else:
            whole = own["validation"]["whole"]
            values = (whole["accuracy"], whole["macro_f1"], whole["recall"]["fear"])
            found |= {
                column: value["value"] for column, value in zip(COLUMNS[2:], values, strict=True)
            }
    return found


def table(found: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """A row an ingredient: the mean over the seeds, smallest and largest, in percent."""
    rows = []
    for name, runs in found.items():
        cells = []
        for column in COLUMNS:
            values = [100 * run[column] for run in runs if column in run]
            spread = f" ({min(values):.1f} – {max(values):.1f})" if len(values) > 1 else ""
            cells.append(f"{mean(values):.1f}{spread}" if values else "–")
        rows.append((name, *cells, str(len(runs))))
    return markdown_table(("", *COLUMNS, "seeds"), rows)


def page(recipe: str, epochs: int, overrides: Sequence[str], command: str, rows: str) -> str:
    """ABLATION.md."""
    of_recipe = load_recipe(recipe).fit.epochs
    settings = f" with {' and '.join(f'`{each}`' for each in overrides)}" if overrides else ""
    return f"""\
# What each ingredient buys
`{recipe}`{settings}, {epochs} epochs instead of {of_recipe}, on PublicTest
alone, each run at its best epoch there, in percent: mean over the seeds, with the smallest and the
largest. Votes are judged by their majority; *distorted faces* are the same, blurred, darkened,
moved and so on, the mean over all of `fer-edge evaluate --robustness`. Short runs favour what
learns fast; a difference within the spread means nothing. Written by

    {command}

{rows}"""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipe", default="edge-nano")
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--no-train", action="store_true", help="the table of what there is")
    parser.add_argument("--report", type=Path, default=HERE / "ABLATION.md")
    options = parser.parse_args(arguments)
    try:
        return _ablate(options)
    except FerEdgeError as error:
        print(f"ablation.py: {error}\n{error.hint}", file=sys.stderr)
        return 2


def _ablate(options: argparse.Namespace) -> int:
    length = (options.epochs, options.seeds, options.overrides)
    planned = [*plan(options.recipe, options.data, options.output, *length)]
    missing = [each.task for each in planned if not options.no_train and not each.metrics()]
    failed = 0
    for task, code in LocalExecutor(options.jobs).run(missing, lambda: None):
        print(f"{task.name}: {'done' if code == 0 else f'exit code {code}, see {task.log}'}")
        failed += code != 0
    found: dict[str, list[dict[str, float]]] = {name: [] for name in INGREDIENTS}
    for each in planned:
        if metrics := each.metrics():
            run = figures(metrics, [*map(str, each.recipe.targets.heads)])
            if VOTES in run:
                run[DISTORTED] = each.on_distorted()
            found[each.name].append(run)
    rows = table({name: runs for name, runs in found.items() if runs})
    seeds = " ".join(map(str, options.seeds))
    command = (
        f"python train/ablation.py --data fer2013.faces.npz --recipe {options.recipe} "
        f"--epochs {options.epochs} --seeds {seeds}"
        + "".join(f" --set {shlex.quote(each)}" for each in options.overrides)
    )
    text = page(options.recipe, options.epochs, options.overrides, command, rows)
    write_text(options.report, text)
    print(rows, end="")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
