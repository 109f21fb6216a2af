from __future__ import annotations

import pytest

from fer_edge.labels import LABELS, SPELLINGS, label_index


@pytest.mark.parametrize("word", [*LABELS, *SPELLINGS])
def test_every_spelling_leads_to_one_of_the_seven_whatever_its_case(word: str) -> None:
    assert LABELS[label_index(f" {word.upper()} ") or 0] == SPELLINGS.get(word, word)


@pytest.mark.parametrize("word", ["contempt", "3", "", "happyy"])
def test_what_is_none_of_the_seven_has_no_index(word: str) -> None:
    assert label_index(word) is None
