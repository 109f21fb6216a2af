"""The seven expressions in FER2013's order; every model, bundle and event speaks in these."""

from __future__ import annotations

LABELS: tuple[str, ...] = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""Index i is FER2013's class number i."""
