"""A page that anybody on this machine sees, and one with a token."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from served import TOKEN, Served


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served()
    with made.page:
        yield made


@pytest.fixture
def guarded() -> Iterator[Served]:
    made = Served(TOKEN)
    with made.page:
        yield made
