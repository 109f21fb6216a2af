"""What the suites of other processors and runtimes share."""

from __future__ import annotations

import pytest
from exported import Exported
from shipped import Shipped, find_shipped


@pytest.fixture(scope="session")
def shipped(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> list[Shipped]:
    """Bundles to ask about; the tests' own small one is the first."""
    return find_shipped(exported, tmp_path_factory.mktemp("shipped"))
