"""When a measurement is long enough: MLPerf's single-stream rule, and a short one to try things."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Rule:
    """One query at a time, the next as soon as the last is answered, until both limits are met."""

    min_seconds: float
    min_queries: int
    warm_up_seconds: float
    warm_up_queries: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"name": "single-stream", "score": "p90"} | asdict(self)


SINGLE_STREAM = Rule(min_seconds=60.0, min_queries=1024, warm_up_seconds=2.0, warm_up_queries=32)
"""As the rules of MLPerf Inference v0.5 have it: 60 seconds and 1,024 queries, whichever is later,
and the 90th percentile of the measured latencies as the score. Later rules ask for 600 seconds,
then score an early-stopping estimate, a little above that percentile. None is about warming up.
"""
QUICK = Rule(min_seconds=1.0, min_queries=128, warm_up_seconds=0.2, warm_up_queries=8)
"""For a first look; far from the rule, and marked as such wherever it is shown."""
