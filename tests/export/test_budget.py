"""A budget is a TOML file whose mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from fer_edge.errors import FerEdgeError
from fer_edge.export.judging.budget import Budget, load_budget, shipped_budgets

SHIPPED = Path(__file__).parents[2] / "export" / "budgets"


def _budget(folder: Path, text: str) -> Path:
    path = folder / "budget.toml"
    path.write_text(text)
    return path


def test_the_default_budget_is_that_of_the_design() -> None:
    budget = load_budget(None)
    assert budget.accuracy_drop_points == 1.0
    assert budget.recall_drop_points == 3.0
    assert budget.agreement_percent == 97.0


def test_the_shipped_default_file_equals_the_defaults_in_the_code_and_names_every_key() -> None:
    import tomllib

    path = SHIPPED / "default.toml"
    assert load_budget(path) == Budget()
    written = tomllib.loads(path.read_text())
    content = Budget().model_dump()
    assert written.pop("detector") == content.pop("detector")
    assert written == {key: value for key, value in content.items() if value}


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_budget_is_valid(path: Path) -> None:
    load_budget(path)


def test_the_strict_budget_is_stricter_than_the_default_in_everything() -> None:
    strict, default = load_budget(SHIPPED / "strict.toml"), Budget()
    for key in Budget.model_fields:
        if key.endswith("_points"):
            assert getattr(strict, key) < getattr(default, key)
    assert strict.agreement_percent > default.agreement_percent


def test_keys_left_out_keep_their_default(tmp_path: Path) -> None:
    budget = load_budget(_budget(tmp_path, "accuracy_drop_points = 0.25\n"))
    assert budget == Budget(accuracy_drop_points=0.25)


def test_a_shipped_budget_is_found_by_its_name() -> None:
    assert load_budget("strict") == load_budget(SHIPPED / "strict.toml")
    assert set(shipped_budgets()) >= {"default", "strict", "prototype"}


def test_a_budget_inherits_what_it_leaves_out(tmp_path: Path) -> None:
    (tmp_path / "team.toml").write_text('inherit = "strict"\nrecall_drop_points = 2.5\n')
    ours = load_budget(_budget(tmp_path, 'inherit = "team.toml"\nmax_kilobytes = 90\n'))
    strict = load_budget("strict")
    changed = {"recall_drop_points": 2.5, "max_kilobytes": 90.0}
    assert ours == strict.model_copy(update=changed)


def test_budgets_that_inherit_in_a_circle_or_from_nowhere_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text('inherit = "budget.toml"\n')
    with pytest.raises(FerEdgeError, match=r"budget\.toml inherits from itself"):
        load_budget(_budget(tmp_path, 'inherit = "other.toml"\n'))
    with pytest.raises(FerEdgeError, match=r"cannot read the budget .*stric: no such") as caught:
        load_budget(_budget(tmp_path, 'inherit = "stric"\n'))
    assert "strict" in caught.value.hint
    with pytest.raises(FerEdgeError, match="inherit: not text, got 1"):
        load_budget(_budget(tmp_path, "inherit = 1\n"))


def test_a_mistake_in_an_inherited_budget_names_that_file(tmp_path: Path) -> None:
    (tmp_path / "team.toml").write_text("agreement = 97\n")
    with pytest.raises(FerEdgeError, match=r"team\.toml: unknown key 'agreement'"):
        load_budget(_budget(tmp_path, 'inherit = "team.toml"\n'))


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("acuracy_drop_points = 1", "unknown key 'acuracy_drop_points'", "'accuracy_drop_points'?"),
        ("flavour = 1", "unknown key 'flavour'", "known keys: accuracy_drop_points,"),
        ("agreement_percent = 101", "agreement_percent: .*less than or equal to 100.*101", "0 to"),
        ("recall_drop_points = -1", "recall_drop_points: .*-1", "0 to 100"),
        ("recall_min_images = 2.5", "recall_min_images: .*2.5", "whole number"),
        ("accuracy_drop_points = nan", "accuracy_drop_points: .*nan", "0 to 100"),
        ("accuracy_drop_points = 'low'", "accuracy_drop_points: .*'low'", "0 to 100"),
        ("agreement_percent = true", "agreement_percent: .*valid number, got True", "numbers"),
        (
            "agreement_percent = 0.97",
            "agreement_percent: percent, not a share, got 0.97",
            "from 50",
        ),
        ("recall_min_images = true", "recall_min_images: .*True", "whole numbers"),
        ("min_images = 0", "min_images: .*0", "whole numbers"),
        ("[detector]\nrecall_percent = true", "detector.recall_percent: .*True", "0 to 100"),
        ("accuracy: 1", "not valid TOML", "export/README.md"),
    ],
)
def test_a_wrong_budget_is_one_line_with_the_key_and_the_remedy(
    tmp_path: Path, text: str, message: str, hint: str
) -> None:
    with pytest.raises(FerEdgeError, match=message) as caught:
        load_budget(_budget(tmp_path, text))
    assert hint in caught.value.hint
    assert "budget.toml" in caught.value.message
    assert "\n" not in caught.value.message


def test_a_missing_budget_and_one_that_is_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FerEdgeError, match=r"cannot read the budget .*none\.toml: no such file"):
        load_budget(tmp_path / "none.toml")
    with pytest.raises(FerEdgeError, match=r"cannot read the budget .*: is a directory"):
        load_budget(tmp_path)
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FerEdgeError, match="not valid TOML"):
        load_budget(tmp_path / "b.toml")


def test_the_documentation_names_every_key_with_its_default() -> None:
    rows = (SHIPPED.parent / "README.md").read_text()
    content = Budget().model_dump()
    for key, value in (*content.pop("detector").items(), *content.items()):
        assert f"| `{key}` | {value} |" in rows


def test_a_detectors_table_keeps_the_keys_of_the_budget_that_it_inherits(tmp_path: Path) -> None:
    (tmp_path / "above.toml").write_text("[detector]\nrecall_percent = 95\n")
    own = tmp_path / "own.toml"
    own.write_text('inherit = "above.toml"\n[detector]\nrecall_drop_points = 0.5\n')
    limits = load_budget(own).detector
    assert (limits.recall_percent, limits.recall_drop_points) == (95, 0.5)
