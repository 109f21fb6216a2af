"""The results as people read them: ``RESULTS.md``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fer_edge.instructions import PROCESSORS, counted, in_millions
from fer_edge.markdown import markdown_table
from fer_edge.train.reproduce.cost import Cost
from fer_edge.train.reproduce.plan import DATASETS, PAPERS
from fer_edge.train.reproduce.results import Elsewhere, Record, Result, by_recipe_and_variant

INTRODUCTION = """\
# What the papers reported, and what we measured

Written by `fer-edge reproduce`; do not edit. Accuracies are on held-out images of the split named,
with a 95% bootstrap interval; over several seeds, the mean with the smallest and the largest.
Intervals, in `results.json` too, are over persons where their number is given, else over images.
*Training* is the running accuracy of the last epoch, as the papers report it: dropout and
augmentation are on. *Never seen* leaves out held-out images of which an identical one stands in the
training part. A row says how many epochs were run where they are fewer than the recipe's, and what
was not trained. A dataset's number is the beginning of its fingerprint, which is the SHA-256 of its
faces, labels and splits.
"""

_FER2013 = (
    "network",
    "parameters",
    "MACs",
    "reported training",
    "training",
    "reported held out",
    "validation",
    "test",
    "never seen",
    "epochs",
    "minutes",
)
_CK48 = (
    "network",
    "parameters",
    "MACs",
    "split",
    "reported training",
    "training",
    "reported test",
    "test",
    "seeds",
    "epochs",
    "minutes",
)
_LOSSES = (
    "loss of",
    "reported training",
    "training",
    "reported held out",
    "validation",
    "test",
)


def markdown(
    records: Sequence[Result],
    exports: Sequence[dict[str, Any]],
    figures: dict[str, str],
    instructions: Mapping[str, Mapping[str, float]],
) -> str:
    """The page ``RESULTS.md``.

    Args:
        records: all experiments, trained or not.
        exports: see ``read_exports``.
        figures: title to path, relative to the page.
        instructions: see ``read_instructions``.
    """
    parts = [INTRODUCTION]
    for dataset in DATASETS:
        chosen = [record for record in records if record.experiment.paper.dataset == dataset]
        if not chosen:
            continue
        parts.append(f"## {_heading(dataset, chosen)}\n")
        for paper, name in PAPERS.items():
            groups = [
                group
                for group in by_recipe_and_variant(chosen)
                if group[0].experiment.paper.name == paper
            ]
            if groups:
                row, header = (
                    (_fer2013_row, _FER2013) if dataset == "fer2013" else (_ck48_row, _CK48)
                )
                parts.append(f"### {name}\n")
                parts.append(markdown_table(header, [row(group) for group in groups]))
                parts += _losses(groups)
                parts += _claims(groups)
    if exports:
        parts.append(_exports(exports, instructions))
    if figures:
        parts.append("## Curves and confusion\n")
        parts += [f"### {title}\n\n![{title}]({path})\n" for title, path in figures.items()]
    parts.append(_how(records))
    return "\n".join(parts)


def _heading(dataset: str, records: Sequence[Result]) -> str:
    """Which dataset it really was: drawn faces may stand in the place of others."""
    known = next((record for record in records if record.fingerprint), None)
    title = DATASETS[dataset]
    if known is None:
        return title
    of = title if known.dataset == dataset else f"{known.dataset}, in the place of {title}"
    return f"{of} ({known.fingerprint[:12]})"


def _fer2013_row(group: list[Result]) -> list[str]:
    record = group[0]
    paper, metrics = record.experiment.paper, record.metrics()
    test = metrics.get("test")
    leaky = " (**leaky**)" if record.experiment.recipe.data.leaky else ""
    return [
        f"{record.experiment.base}{leaky}",
        *_size(record.cost),
        _share(paper.train_accuracy),
        _share(_last(record, "accuracy")),
        _reported(_share, paper.validation_accuracy, paper.test_accuracy),
        _accuracy(metrics.get("validation"), "whole"),
        _accuracy(test, "whole"),
        _never_seen(test),
        _epochs(record),
        f"{metrics['seconds'] / 60:.0f}" if metrics else "–",
    ]


def _ck48_row(group: list[Result]) -> list[str]:
    first = group[0]
    paper, done = first.experiment.paper, [record for record in group if record.finished]
    tests = [record.metrics()["test"]["whole"]["accuracy"]["value"] for record in done]
    training = [row[-1]["accuracy"] for record in done if (row := record.history())]
    seconds = [record.metrics()["seconds"] for record in done]
    papers_split = first.experiment.recipe.data.divide == "by-image"
    return [
        first.experiment.base.removesuffix("-ck48"),
        *_size(next((record.cost for record in group if record.cost), None)),
        first.experiment.variant,
        _share(paper.train_accuracy) if papers_split else "–",
        _share(float(np.mean(training))) if training else "–",
        _share(paper.test_accuracy) if papers_split else "–",
        f"{np.mean(tests):.1%} ({min(tests):.1%} – {max(tests):.1%})" if tests else "–",
        f"{len(done)} of {len(group)}",
        _epochs(done[0] if done else first),
        f"{np.mean(seconds) / 60:.1f}" if seconds else "–",
    ]


def _exports(
    exports: Sequence[dict[str, Any]], instructions: Mapping[str, Mapping[str, float]]
) -> str:
    header = (
        "network",
        "data",
        "float",
        "int8",
        "drop, points",
        "agreement",
        "kB",
        "float ms",
        "int8 ms",
        *(f"{name}, M" for name in PROCESSORS.values()),
        "remedy",
    )
    rows = []
    for entry in exports:
        persons = entry.get("result", {}).get("persons")
        over = f", {persons} persons" if persons else ""
        start = [entry["recipe"], f"{entry['dataset']}, {entry['variant']}{over}"]
        if "refused" in entry:
            rows.append([*start, *["–"] * 9, "**refused**: " + _reasons(entry["refused"])])
            continue
        formats = entry["result"]["formats"]
        int8, float32 = formats["model.int8.tflite"], formats["model.float32.tflite"]
        lost = int8["drop"]
        rows.append(
            [
                *start,
                _share(entry["result"]["accuracy"]["value"]),
                _share(int8["accuracy"]["value"]),
                f"{100 * lost['value']:.2f} ({100 * lost['low']:.2f} … {100 * lost['high']:.2f})",
                f"{int8['agreement']:.1%}",
                f"{int8['bytes'] / 1000:,.0f}",
                f"{float32['latency']['p50']:.2f}",
                f"{int8['latency']['p50']:.2f}",
                *(
                    in_millions(counted(entry["recipe"], cpu, instructions), 0)
                    for cpu in PROCESSORS
                ),
                _needed(entry["result"]),
            ]
        )
    return (
        "## Exported to int8 through the gate\n\n"
        "`fer-edge export RUN --int8` of each network's first run: int8 TFLite against the float "
        "Keras model on the same held-out images, the drop with its paired 95% interval; latency "
        "is the p50 of one face on one thread, float and int8 TFLite in turns in one run; A72 and "
        "A76: million instructions of one inference, float / int8, counted in emulation "
        "(`benchmarks/arm/count.py`), which are not time; remedy: the last that the export needed."
        "\n\n" + markdown_table(header, rows)
    )


def _needed(result: dict[str, Any]) -> str:
    """The last remedy that int8 needed to pass the gate."""
    kept = len(result["float_layers"])
    return f"{result['needed']}, {kept} layers in float" if kept else str(result["needed"])


def _reasons(refusal: str) -> str:
    """The first of the gate's reasons, and how many more the JSON has."""
    first, *more = [line.strip() for line in refusal.splitlines() if "the budget is" in line]
    return first + (f"; {len(more)} more in results.json" if more else "")


def _claims(groups: list[list[Result]]) -> list[str]:
    said = [
        f"- {group[0].experiment.base}: {group[0].experiment.paper.claim}.{_tested(group[0])}"
        for group in groups
        if group[0].experiment.paper.claim
    ]
    return ["Said in words:\n\n" + "\n".join(said) + "\n"] if said else []


def _tested(record: Result) -> str:
    """What was measured of that which a paper says in words; empty where nothing was."""
    claim = record.experiment.paper.claim
    if named := re.search(r"epoch (\d+)|(\d+) epochs", claim):
        epoch = int(named[1] or named[2])
        for row in record.history():
            if row["epoch"] == epoch:
                return (
                    f" Measured at epoch {epoch}: training accuracy {_share(row['accuracy'])}, "
                    f"loss {_nats(row['loss'])}."
                )
    validation = record.metrics().get("validation")
    if "validation" in claim and validation:
        figure = validation["whole"]["accuracy"]["value"]
        return f" Measured: {_share(figure)} for validation after {record.epochs} epochs."
    return ""


def _losses(groups: list[list[Result]]) -> list[str]:
    """A table of the trained networks whose losses were reported, if there are any."""
    rows = []
    for group in groups:
        experiment = group[0].experiment
        paper = experiment.paper
        told = (paper.train_loss, paper.validation_loss, paper.test_loss)
        done = [record for record in group if record.finished]
        # by subject is our division, not the papers'
        if not done or told == (None,) * 3 or experiment.recipe.data.divide == "by-subject":
            continue
        parts = [record.metrics() for record in done]
        held_out = [
            _spread([each[part]["loss"] for each in parts if each.get(part)])
            for part in ("validation", "test")
        ]
        rows.append(
            [
                experiment.base.removesuffix("-ck48"),
                _reported_loss(paper.train_loss),
                _spread([_last(record, "loss") for record in done]),
                _reported(_reported_loss, paper.validation_loss, paper.test_loss),
                *held_out,
            ]
        )
    return [markdown_table(_LOSSES, rows)] if rows else []


def _how(records: Sequence[Result]) -> str:
    machines: dict[str, None] = {}
    done = [each for each in records if each.finished and isinstance(each, Record | Elsewhere)]
    for record in done:
        if environment := record.to_dict()["environment"]:
            board = environment["board"]
            where = board["model"] or board["cpu"]
            machines[
                f"{where}, {board['cores']} cores, {board['system']}; Keras "
                f"{environment['packages']['keras']} on {environment['keras_backend']}, "
                f"{environment['dtype_policy']}"
            ] = None
    commands = []
    for group in by_recipe_and_variant(done):
        others = ", ".join(str(record.experiment.recipe.fit.seed) for record in group[1:])
        commands.append(group[0].command + (f"  # and seeds {others}" if others else ""))
    return (
        "## How\n\nMachines:\n\n"
        + "\n".join(f"- {machine}" for machine in machines)
        + "\n\nEach run by hand:\n\n```\n"
        + "\n".join(commands)
        + "\n```\n"
    )


def _last(record: Result, name: str) -> float | None:
    """The accuracy or the loss of the last epoch of training."""
    history = record.history()
    return history[-1][name] if history else None


def _epochs(record: Result) -> str:
    wanted = record.experiment.epochs_shipped
    if not record.epochs:
        return "**not trained**"
    return str(wanted) if record.epochs == wanted else f"**{record.epochs} of {wanted}**"


def _size(cost: Cost | None) -> list[str]:
    """Parameters and multiply-accumulates."""
    return [f"{cost.parameters:,}", f"{cost.macs / 1e6:,.1f} M"] if cost else ["–", "–"]


def _reported(
    written: Callable[[float | None], str], validation: float | None, test: float | None
) -> str:
    """What a paper reports of held-out images, with the split's name."""
    both = {"validation": validation, "test": test}
    told = [f"{written(value)} {name}" for name, value in both.items() if value is not None]
    return ", ".join(told) or "–"


def _reported_loss(value: float | None) -> str:
    """To as many digits as the paper has."""
    return "–" if value is None else str(value)


def _nats(value: float) -> str:
    return f"{value:.3f}"


def _spread(losses: Sequence[float | None]) -> str:
    """The mean, with the smallest and the largest where there are several."""
    values = [loss for loss in losses if loss is not None]
    if len(values) < 2:
        return _nats(values[0]) if values else "–"
    return f"{_nats(float(np.mean(values)))} ({_nats(min(values))} – {_nats(max(values))})"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _accuracy(part: dict[str, Any] | None, scope: str) -> str:
    if not part or not part[scope]:
        return "–"
    figure = part[scope]["accuracy"]
    return f"{figure['value']:.1%} ({figure['low']:.1%} – {figure['high']:.1%})"


def _never_seen(test: dict[str, Any] | None) -> str:
    if not test:
        return "–"
    images = test["whole"]["images"]
    twins = f"{test['leaked'] / images:.0%} of the test images stand in training"
    return f"{_accuracy(test, 'unleaked')}; {twins}"
