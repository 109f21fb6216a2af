"""Labelled faces: reading, packing, drawing and auditing them."""

from fer_edge.data.audit import drop_leaks, leaked
from fer_edge.data.dataset import Dataset
from fer_edge.data.load import load_dataset

__all__ = ["Dataset", "drop_leaks", "leaked", "load_dataset"]
