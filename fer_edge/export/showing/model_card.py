"""What a bundle says of its model to a person: what it is, how good, where it is weak, what for."""

from __future__ import annotations

from fer_edge.data.division import describe_division
from fer_edge.evaluation.metrics import Report, percent
from fer_edge.export.findings import Findings
from fer_edge.export.judging.measure import Format
from fer_edge.export.source import Base, Source
from fer_edge.markdown import literal, markdown_row
from fer_edge.subject import BY_MAJORITY

FEW_IMAGES = 100
"""Under so many, a class's recall is known to within 10 points at best."""
WEAK_RECALL = 0.5
"""Below it a model misses an expression more often than it names it."""
OFTEN = 0.2
"""Share of an expression's images that is worth naming the mistake for."""
USE = """\
For research, teaching, art, games and interfaces that react to a face whose owner has agreed and
can tell, and where a wrong answer does no harm. It names one of a few words for one face in one
picture; it knows no context and no time.
"""

MISUSE = """\
An expression is not an emotion: the model names what a face looks like to the people who labelled
the data, not what a person feels or means.

- **Not at work and not in education.** Placing on the market, putting into service or using a
  system that infers emotions of people there is prohibited in the European Union, medical and
  safety reasons aside (Regulation (EU) 2024/1689, Article 5(1)(f)).
- **Not to judge people**: no hiring, selecting, grading, insuring, policing, border control, lie or
  intent detection, diagnosis or care decisions. Elsewhere in the European Union emotion recognition
  is a high-risk use (Annex III, 1(c)), and people must be told of it (Article 50(3)).
- **Not without consent**, and not on children or others who cannot give it.
"""


def model_card(source: Source, found: Findings) -> str:
    """The card in Markdown, with the int8 TFLite's figures on the held-out splits.

    Where some held-out images are copies of training images, all but one line leaves them out.
    """
    int8 = found.int8
    sections = {
        "What it is": _what(source, int8),
        "What it is for": USE,
        "What it must not be used for": MISUSE,
        "Data": _data(source, found),
        "How good it is": _measured(found),
        "How sure it is": _sureness(found),
        "Where it is weak": weaknesses(int8.own),
        "What int8 cost": _cost(int8),
        "What was not measured": _limits(source),
    }
    parts = [
        f"# {source.name}",
        *(f"## {title}\n{text}" for title, text in sections.items() if text),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _what(source: Source, int8: Format) -> str:
    described = " ".join(source.description.split()).rstrip(".")
    head = "" if source.head is None else f"This is the head `{source.head}` alone. "
    labels = ", ".join(map(literal, int8.whole.labels))
    return (
        f"{described + '. ' if described else ''}{head}It takes one 48×48 grayscale face and gives "
        f"a probability for each of {labels}. An int8 TFLite network of "
        f"{int8.size / 1000:,.0f} kB, made by fer-edge; the figures are those of this file."
    )


def _data(source: Source, found: Findings) -> str:
    roles, int8 = source.roles, found.int8
    chosen = f"chosen on {', '.join(roles['validation'])}, " if roles["validation"] else ""
    trained = "Trained" if found.base is None else "Fine-tuned"
    sentences = [
        f"{trained} on {', '.join(roles['train'])} of {roles['name']} (fingerprint "
        f"{roles['fingerprint'][:16]}), {chosen}measured on {', '.join(found.splits)}."
    ]
    if found.base is not None:
        sentences.append(_origin(found.base))
    if division := describe_division(roles):
        sentences.append(f"{division[0].upper()}{division[1:]}.")
    if source.truth == BY_MAJORITY:
        sentences.append(
            "Judged by the majority of FER+'s votes, over half of those above one: the "
            f"{int8.whole.images:,} held-out images that have one."
        )
    elif source.head is not None:
        sentences.append(f"Judged by the labels of {roles['name']}, not by FER+'s votes.")
    if roles["drop_leaks"]:
        sentences.append("Training left out the images that stand in the other splits as well.")
    if found.copies and int8.unleaked is None:
        sentences.append(
            f"Every held-out image was seen in {found.phase} as well: the figures say nothing of "
            "other faces."
        )
    elif found.copies:
        sentences.append(
            f"Of the held-out images, {found.copies:,} were seen in {found.phase} as well; the "
            "figures below leave them out, but for one line."
        )
    return " ".join(sentences)


def _origin(base: Base) -> str:
    """Where a fine-tuned network comes from."""
    known = "" if base.sha256 is None else f" (SHA-256 {base.sha256[:16]})"
    sentence = f"It began as {base.name}{known}"
    if "name" in base.dataset:
        known = base.dataset.get("fingerprint", "")[:16]
        sentence += f", trained on {base.dataset['name']} (fingerprint {known})"
    return f"{sentence}; what that had seen of the held-out images was not looked at."


def _measured(found: Findings) -> str:
    int8 = found.int8
    own = int8.own
    lines = [
        "| | images | accuracy | macro-F1 | calibration error |",
        "|---|---|---|---|---|",
    ]
    if found.copies and int8.unleaked is not None:
        lines.append(_row(f"not seen in {found.phase}", own))
    lines += [
        _row("all held-out images", int8.whole),
        "",
        "| expression | images | recall | precision | most often taken for |",
        "|---|---|---|---|---|",
    ]
    for index, label in enumerate(own.labels):
        images, (mistake, share) = sum(own.confusion[index]), _most_common_mistake(own, index)
        taken = f"{mistake} ({share:.0%})" if share else "–"
        recall, precision = percent(own.recall[label]), percent(own.precision[label])
        lines.append(markdown_row((literal(label), str(images), recall, precision, taken)))
    lines += ["", f"In parentheses: {intervals(found)}, and shares of the expression's images."]
    return "\n".join(lines)


def intervals(found: Findings) -> str:
    """What stands behind a figure, as ``metrics`` makes it."""
    return (
        f"95% intervals, by bootstrap{found.over_persons}, or Wilson's where a share is 0% or 100%"
    )


def _sureness(found: Findings) -> str:
    """Calibration and the threshold under which a device says uncertain; empty where unknown."""
    sentences = []
    validation = ", ".join(found.dataset["validation"])
    for name, amount in found.logit_adjustment.items():
        more = "more" if amount > 0 else "less"
        chosen = f", chosen on {validation}," if validation else ""
        sentences.append(
            f"Training added {amount:g} to its logit of {literal(name)}{chosen} to find {more} of "
            "it."
        )
    if found.temperature is not None:
        sentences.append(
            f"Its logits were divided by {found.temperature:.2f}, which suits {validation} best."
        )
    if found.certainty is not None:
        certainty = found.certainty
        sentences.append(
            f"`fer-edge run` calls an expression uncertain under {certainty.threshold:.2f}: on "
            f"{validation}, without copies of training and test images, "
            f"{certainty.chosen.named:.0%} of the faces reach that, and "
            f"{certainty.chosen.precision:.1%} of these are named rightly."
        )
        if (tested := certainty.held_out) is not None:
            sentences.append(
                f"On {', '.join(tested.splits)} it is {tested.named:.0%} and "
                f"{tested.precision:.1%}."
            )
    return " ".join(sentences)


def weaknesses(measured: Report) -> str:
    """Sentences that the figures give; the weakest expression has one unless none was missed."""
    recalls = {label: e.value for label, e in measured.recall.items() if e is not None}
    weakest = min(recalls, key=lambda label: recalls[label])
    lines = []
    if (least := f"{recalls[weakest]:.0%}") != "100%":
        lines.append(f"- It knows **{literal(weakest)}** worst: it finds {least} of it.")
    for index, label in enumerate(measured.labels):
        images, name = sum(measured.confusion[index]), literal(label)
        mistake, share = _most_common_mistake(measured, index)
        if not images:
            lines.append(f"- **{name}**: no held-out image shows it, so nothing is known.")
            continue
        if images < FEW_IMAGES:
            lines.append(f"- **{name}**: measured on {images} images only.")
        if recalls[label] < WEAK_RECALL and label != weakest:
            lines.append(f"- **{name}**: it misses more than it finds ({recalls[label]:.0%}).")
        if share >= OFTEN:
            lines.append(f"- **{name}** is taken for {mistake} in {share:.0%} of its images.")
        precision = measured.precision[label]
        if precision is not None and precision.value < WEAK_RECALL:
            lines.append(
                f"- When it says **{name}**, it is right {precision.value:.0%} of the time."
            )
    error = measured.calibration_error.value
    lines.append(
        f"- Its confidence is off by {error:.1%} on average here, and by more elsewhere: choose a "
        "threshold on pictures of the device."
    )
    return "\n".join(lines)


def _cost(int8: Format) -> str:
    lost = int8.drop_unleaked or int8.drop
    accuracy = lost.accuracy
    changed = "gained" if accuracy.value < 0 else "lost"
    return (
        f"Quantization changed {lost.lost + lost.won} right or wrong answers of "
        f"{int8.own.images:,}: {lost.lost} lost, {lost.won} won. That is "
        f"{100 * abs(accuracy.value):.2f} points of accuracy {changed} (95% interval of the loss: "
        f"{100 * accuracy.low:.2f} to {100 * accuracy.high:.2f}) against the float model, which "
        f"names the same expression on {lost.agreement.value:.1%} of the images."
    )


def _limits(source: Source) -> str:
    return (
        "Nothing was measured by age, sex or skin tone, and nothing with other cameras, light, "
        f"poses and crops than those of {source.roles['name']}. Latency is not stated: it is the "
        "board's, and to be measured there."
    )


def _most_common_mistake(report: Report, index: int) -> tuple[str, float]:
    """The wrong label that an expression gets most often, and its share of the expression."""
    counts = list(report.confusion[index])
    total, counts[index] = sum(counts), -1
    most = max(range(len(counts)), key=lambda other: counts[other])
    return literal(report.labels[most]), max(counts[most], 0) / total if total else 0.0


def _row(what: str, report: Report) -> str:
    figures = (report.accuracy, report.macro_f1, report.calibration_error)
    return markdown_row((what, f"{report.images:,}", *map(percent, figures)))
