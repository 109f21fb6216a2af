from fer_edge.data.dataset import Dataset


def synthetic_faces() -> Dataset:
    raise NotImplementedError
