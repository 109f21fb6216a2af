"""Held-out figures, each with the interval that the sample allows: of classifiers, of detectors,
and of what a classifier bears."""
