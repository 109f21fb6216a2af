"""``fer-edge reproduce``: the papers' networks by their recipes, reported beside measured."""

from fer_edge.train.reproduce.run import Options, reproduce

__all__ = ["Options", "reproduce"]
