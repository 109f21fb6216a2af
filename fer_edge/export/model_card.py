"""What a bundle says of its model to a person."""

from __future__ import annotations

from fer_edge.export.measure import Format
from fer_edge.export.source import Source
from fer_edge.metrics import Report, percent


def model_card(source: Source, splits: tuple[str, ...], int8: Format) -> str:
    """The card in Markdown, with the int8 TFLite's figures on the held-out splits."""
    whole, unleaked, lost = int8.whole, int8.unleaked, int8.drop
    dataset = source.roles
    lines = [
        f"# {source.name}",
        "",
        *([f"{source.description.rstrip('.')}.", ""] if source.description else []),
        "Takes one 48×48 grayscale face and gives a probability for each of "
        f"{', '.join(whole.labels)}. Made by fer-edge; this is the int8 model's card.",
        "",
        "## Data",
        f"Trained on {', '.join(dataset['train'])} of {dataset['name']} "
        f"(fingerprint {dataset['fingerprint'][:16]}), measured on {', '.join(splits)}.",
        "",
        "## Measured",
        "| | images | accuracy | macro-F1 | calibration error |",
        "|---|---|---|---|---|",
        _row("all held-out images", whole),
    ]
    if unleaked is not None and unleaked.images < whole.images:
        lines.append(_row("those that training never saw", unleaked))
    lines += ["", "Recall by expression:", "", "| expression | images | recall |", "|---|---|---|"]
    for label, counts in zip(whole.labels, whole.confusion, strict=True):
        lines.append(f"| {label} | {sum(counts)} | {percent(whole.recall[label])} |")
    weak = min((e.value, label) for label, e in whole.recall.items() if e is not None)
    lines += [
        "",
        f"Intervals are 95% bootstrap intervals. Weakest on {weak[1]}.",
        "",
        f"Quantization changed {lost.lost + lost.won} right or wrong answers of {whole.images}: "
        f"{lost.lost} lost, {lost.won} won. That is {100 * lost.accuracy.value:.2f} points of "
        f"accuracy lost ({100 * lost.accuracy.low:.2f} to {100 * lost.accuracy.high:.2f}) against "
        f"the float model, which names the same expression on {lost.agreement:.1%} of the images.",
        "",
        "## What it must not be used for",
        "An expression is not an emotion: the model names what a face looks like to the people who "
        "labelled the data, not what a person feels. Do not use it to judge, select, monitor or "
        "diagnose people. Inferring emotions of people at work and in education is prohibited in "
        "the European Union, medical and safety reasons aside (Regulation 2024/1689, Article "
        "5(1)(f)). Nothing was measured by age, sex or skin tone, nor with other cameras, light "
        "and poses than those of the data above.",
    ]
    return "\n".join(lines) + "\n"


def _row(what: str, report: Report) -> str:
    figures = (report.accuracy, report.macro_f1, report.calibration_error)
    return f"| {what} | {report.images:,} | {' | '.join(percent(f) for f in figures)} |"
