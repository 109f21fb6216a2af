"""What a person sees of a bundle."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import Any

from fer_edge.bundle.opening import Bundle
from fer_edge.bundle.trust import CHECKER, can_check, is_package_key, names_package_key


@dataclass(frozen=True)
class Verification:
    """What ``fer-edge bundle verify`` found in order; anything else is an error.

    Attributes:
        bundle: opened, so that every checksum was right.
        replayed: largest difference in probability from the golden outputs, by model.
        runtimes: what computed, by model.
        skipped: models for which this machine has no runtime.
        exact: models whose every answer by the reference kernels has the recorded bits.
    """

    bundle: Bundle
    replayed: dict[str, float]
    runtimes: dict[str, str]
    skipped: tuple[str, ...]
    exact: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "bundle": str(self.bundle.path),
            "members": len(self.bundle.content),
            "signature": signature_facts(self.bundle),
            "golden_tolerance": self.bundle.manifest.golden_tolerance,
            "replayed": self.replayed,
            "runtimes": self.runtimes,
            "skipped": list(self.skipped),
            "exact": list(self.exact),
            "notes": list(self.bundle.notes),
        }


def describe(bundle: Bundle) -> dict[str, Any]:
    """A bundle's manifest, sizes and signature, JSON-ready."""
    sizes = {name: bundle.content.size(name) for name in sorted(bundle.content)}
    return {
        "bundle": str(bundle.path),
        "manifest": asdict(bundle.manifest),
        "bytes": sizes,
        "signature": signature_facts(bundle),
        "notes": list(bundle.notes),
    }


def signature_facts(bundle: Bundle) -> dict[str, Any] | None:
    """Who signed a bundle, when, and whether that was checked; None where nobody did."""
    signature = bundle.signature
    if signature is None:
        return None
    return {
        "key": signature.key_id,
        "comment": signature.trusted_comment,
        "version": bundle.version,
        "checked": bundle.signer is not None,
    }


def print_bundle(bundle: Bundle, *, as_json: bool = False) -> None:
    """Print what a bundle is, how good it is and who signed it."""
    if as_json:
        print(json.dumps(describe(bundle), indent=2))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    manifest, console = bundle.manifest, Console(highlight=False)
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    # rich would take brackets in a bundle's own words for markup
    for name, value in (*_identity(bundle), *_figures(bundle), *_making(bundle)):
        table.add_row(Text(name, style="bold"), Text(value))
    console.print(Text(f"{manifest.name}  {bundle.path}", style="bold"))
    if manifest.description:
        console.print(Text(manifest.description))
    console.print(table)
    for note in bundle.notes:
        console.print(Text(note, style="yellow"))


def print_verification(found: Verification, *, as_json: bool = False) -> None:
    """Print a line a check."""
    if as_json:
        print(json.dumps(found.to_dict(), indent=2))
        return
    bundle = found.bundle
    print(f"checksums: {len(bundle.content)} members are as they were packed")
    print(f"signature: {_signature(bundle)}")
    for name, difference in found.replayed.items():
        print(
            f"golden set: {name} on {found.runtimes[name]} differs by at most {difference:.4f}, "
            f"{bundle.manifest.golden_tolerance:.4f} is allowed"
        )
        if name in found.exact:
            print(f"golden set: {name} gives the recorded bits by the reference kernels")
    for name in found.skipped:
        print(f"golden set: {name} was not replayed, this machine has no runtime for it")
    for note in bundle.notes:
        print(f"note: {note}")


def _identity(bundle: Bundle) -> list[tuple[str, str]]:
    manifest = bundle.manifest
    members = [
        f"{name} {bundle.content.size(name) / 1000:,.0f} kB" for name in sorted(bundle.content)
    ]
    seen = "frames" if manifest.task == "detect" else "faces"
    return [
        ("labels", ", ".join(manifest.labels)),
        ("takes", "×".join(map(str, manifest.input["shape"][1:3])) + f" grayscale {seen}"),
        ("crop rule", f"{manifest.crop.detector}, {manifest.crop.scale:g} × the box's longer side"),
        ("members", ", ".join(members)),
        ("signature", _signature(bundle)),
        ("schema", manifest.schema),
    ]


def _signature(bundle: Bundle) -> str:
    facts = signature_facts(bundle)
    if facts is None:
        return "none"
    entry = bundle.signature.entry("timestamp") if bundle.signature else None
    when = ""
    if entry and entry.isascii() and entry.isdigit() and len(entry) < 12:
        when = time.strftime(", %Y-%m-%d %H:%M UTC", time.gmtime(int(entry)))
    checked = "not checked, no key was given"
    if bundle.signature and names_package_key(bundle.signature) and not can_check():
        checked = f"not checked: '{CHECKER}' is not installed"
    if bundle.signer:
        whose = "this package's key" if is_package_key(bundle.signer) else "a trusted key"
        checked = f"checked, {whose}"
    version = "" if facts["version"] is None else f", version {facts['version']}"
    return f"by {facts['key']}{when}{version} ({checked})"


def _figures(bundle: Bundle) -> list[tuple[str, str]]:
    metrics, rows = bundle.manifest.metrics, []
    if bundle.manifest.dataset.get("division"):
        from fer_edge.data.division import describe_division

        rows.append(("division", describe_division(bundle.manifest.dataset)))
    phase = "fine-tuning" if "base" in bundle.manifest.recipe else "training"
    for kind in ("float", "int8"):
        whole, own = metrics.get(kind), metrics.get(f"{kind}_unleaked", {})
        if not whole:
            continue
        where = f"on {', '.join(metrics.get('splits', ()))}"
        # null stands for no image that is left
        copies = 0 if own == {} else whole["images"] - (own["images"] if own else 0)
        seen = f", {copies:,} of them seen in {phase}" if copies else ""
        rows.append((kind, f"{_accuracy(whole)} {where}{seen}"))
        if own and copies:
            rows.append((kind, f"{_accuracy(own)} {where}, without these"))
    for name, found in metrics.get("detection", {}).items():
        figures = found["int8"]
        rate, recall = figures["false_positives"]["wanted"], figures["recall"]
        rows.append(
            (
                "recall",
                f"{recall['value']:.1%} ({recall['low']:.1%} – {recall['high']:.1%}) of "
                f"{figures['faces']:,} faces at {rate:g} false positives a frame: {name}",
            )
        )
    for name, drop in metrics.get("drop", {}).items():
        lost = drop["accuracy"]
        rows.append(
            (
                "drop",
                f"{100 * lost['value']:.2f} points ({100 * lost['low']:.2f} … "
                f"{100 * lost['high']:.2f}), agreement {drop['agreement']:.1%}: {name}",
            )
        )
    for name, verdict in bundle.manifest.gate.items():
        if isinstance(verdict, dict) and "passed" in verdict:
            rows.append(("gate", f"{'passed' if verdict['passed'] else 'failed'}: {name}"))
    return rows


def _accuracy(report: dict[str, Any]) -> str:
    accuracy, f1 = report["accuracy"], report["macro_f1"]
    return (
        f"accuracy {accuracy['value']:.1%} ({accuracy['low']:.1%} – {accuracy['high']:.1%}), "
        f"macro-F1 {f1['value']:.1%}, {report['images']:,} images"
    )


def _making(bundle: Bundle) -> list[tuple[str, str]]:
    manifest, rows = bundle.manifest, []
    if "name" in manifest.dataset:
        known = manifest.dataset.get("fingerprint", "")[:16]
        rows.append(("dataset", f"{manifest.dataset['name']} {known}".strip()))
    if "name" in manifest.recipe:
        known = manifest.recipe.get("sha256", "")[:16]
        head = f", head {manifest.recipe['head']}" if "head" in manifest.recipe else ""
        rows.append(("recipe", f"{manifest.recipe['name']} {known}".strip() + head))
    if base := manifest.recipe.get("base"):
        dataset = base.get("dataset", {})
        of = f", trained on {dataset['name']}" if "name" in dataset else ""
        known = " ".join((base["name"], base.get("sha256", "")[:16])).strip()
        rows.append(("fine-tuned from", f"{known}{of}"))
    if manifest.tools:
        rows.append(("tools", ", ".join(f"{k} {v}" for k, v in manifest.tools.items())))
    return rows
