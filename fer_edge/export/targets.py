"""What a board takes: which files, judged by which budget, checked how.

Which files is what the instruction counts of ``docs/boards.md`` say.
"""

from __future__ import annotations

from dataclasses import dataclass

from fer_edge.bundle import DYNAMIC_TFLITE, FLOAT16_TFLITE
from fer_edge.errors import FerEdgeError, nearest, require_extra
from fer_edge.export.formats import DEFAULT, SLIM
from fer_edge.export.judging.budget import Budget


@dataclass(frozen=True)
class Target:
    """A board, or a class of them.

    Attributes:
        name: what ``--target`` takes.
        formats: files of its bundle, by member.
        budget: name of the shipped budget that its files are judged by; it limits their size too.
        micro: TFLite Micro must run the int8 file, with the answers of LiteRT's reference kernels.
        advice: which file to take there, and why.
    """

    name: str
    formats: tuple[str, ...]
    budget: str = "default"
    micro: bool = False
    advice: str = ""


TARGETS = {
    each.name: each
    for each in (
        Target(
            "pi-zero-2w",
            SLIM,
            advice="the int8 TFLite: fewer instructions than float32, and a quarter of the memory",
        ),
        # int8 takes nearly as many instructions as float there, so that the clock must decide; the
        # float16 file computes as the float32 one does, and is half as large
        Target(
            "pi-4",
            (*SLIM, FLOAT16_TFLITE),
            advice="the int8 TFLite, but time it against float16 with fer-edge bench: without dot "
            "products int8 saves few instructions",
        ),
        Target(
            "pi-5",
            SLIM,
            advice="the int8 TFLite: with dot products it takes a fraction of float32's "
            "instructions",
        ),
        Target("pc", DEFAULT, advice="the int8 TFLite, unless the latencies say otherwise"),
        Target(
            "mcu",
            SLIM,
            budget="mcu",
            micro=True,
            advice="the int8 TFLite, in TFLite Micro: a quarter of float32's size and memory",
        ),
    )
}


def advise(target: str | None) -> list[str]:
    """A line on which file to take, for the board that was asked for or for every one."""
    chosen = list(TARGETS.values()) if target is None else [TARGETS[target]]
    return [f"{each.name}: {each.advice}" for each in chosen]


def wants_micro(target: Target | None, budget: Budget) -> bool:
    """Whether TFLite Micro is to be asked: for a target, or for a budget that limits its arena.

    Raises:
        FerEdgeError: it is, and is not installed.
    """
    wanted = (target is not None and target.micro) or budget.max_arena_kilobytes is not None
    if wanted:
        require_extra("tflite_micro", "mcu")
    return wanted


def find_target(name: str) -> Target:
    """A target by its name.

    Raises:
        FerEdgeError: there is none of that name.
    """
    if name not in TARGETS:
        hint = nearest(name, TARGETS)
        raise FerEdgeError(
            f"there is no target '{name}'", hint or f"there are {', '.join(TARGETS)}"
        )
    return TARGETS[name]


def choose_formats(
    target: Target | None, *, slim: bool, float16: bool, dynamic: bool
) -> tuple[str, ...]:
    """The files of a bundle, by the options of ``fer-edge export``.

    Raises:
        FerEdgeError: options that contradict each other.
    """
    if target is not None and (slim or float16 or dynamic):
        raise FerEdgeError(
            f"--target {target.name} names the files of its bundle",
            "leave out --slim, --float16 and --dynamic, or the target",
        )
    more = {FLOAT16_TFLITE: float16, DYNAMIC_TFLITE: dynamic}
    chosen = tuple(member for member, wanted in more.items() if wanted)
    if slim and chosen:
        raise FerEdgeError(
            f"--slim ships the int8 TFLite alone, without {', '.join(chosen)}",
            "leave one of the options out",
        )
    if target is not None:
        return target.formats
    return SLIM if slim else (*DEFAULT, *chosen)
