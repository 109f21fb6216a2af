"""Which local devices a training uses, and how they share it.

Each device holds the whole network and takes an equal share of every batch: on TensorFlow
``tf.distribute.MirroredStrategy``, on JAX ``keras.distribution.DataParallel``. Loss, gradients and
batch statistics are those of the whole batch, so that the number of devices changes the time and
not the curve. A device has Keras's name for it, such as ``gpu:0``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import keras

from fer_edge.errors import FerEdgeError

_FORMS = "--devices takes 'all', a number, or names such as gpu:0,gpu:2"


def choose_devices(wanted: str, batch_size: int) -> tuple[str, ...]:
    """The devices that ``--devices`` names, in the order given.

    Args:
        wanted: ``all`` (every accelerator, else the first CPU), a number (so many of the
            accelerators, else of the CPUs), or names of one kind with commas between.
        batch_size: images of one step; each device gets the same number of them.

    Raises:
        FerEdgeError: there are no such devices, or the batch does not divide among them.
    """
    chosen = pick_devices(wanted, local_devices())
    count = len(chosen)
    if batch_size % count:
        fewer = max(n for n in range(1, count) if batch_size % n == 0)
        near = max(batch_size // count, 1) * count
        raise FerEdgeError(
            f"a batch of {batch_size} images does not divide among {count} devices "
            f"({', '.join(chosen)})",
            f"use --devices {fewer}, or --set fit.batch_size={near} in a new run",
        )
    return chosen


def local_devices() -> tuple[str, ...]:
    """What this machine has: its accelerators, then its CPUs.

    Raises:
        FerEdgeError: Keras runs on a backend that training does not know, or that finds no device.
    """
    if keras.config.backend() not in ("tensorflow", "jax"):
        raise FerEdgeError(
            f"training does not run on Keras's backend '{keras.config.backend()}'",
            "set KERAS_BACKEND to tensorflow or jax",
        )
    try:
        names = keras.distribution.list_devices()
    # JAX asserts where JAX_PLATFORMS names nothing that it has
    except (RuntimeError, AssertionError) as error:
        raise FerEdgeError(
            f"Keras's backend '{keras.config.backend()}' finds no device to train on",
            "see JAX_PLATFORMS and the accelerator's driver",
        ) from error
    # the CPUs are left out of the list where there is an accelerator, or by JAX_PLATFORMS
    with suppress(RuntimeError):
        names = [*names, *keras.distribution.list_devices("cpu")]
    return tuple(dict.fromkeys(names))


def pick_devices(wanted: str, present: Sequence[str]) -> tuple[str, ...]:
    """As ``choose_devices``, among the devices ``present``."""
    usable = [name for name in present if is_accelerator(name)] or list(present)
    text = wanted.strip().lower()
    if text == "all":
        return tuple(usable) if is_accelerator(usable[0]) else (usable[0],)
    if text.isdecimal():
        if not 1 <= int(text) <= len(usable):
            raise FerEdgeError(
                f"cannot train on {text} devices: this machine has {', '.join(usable)}", _FORMS
            )
        return tuple(usable[: int(text)])
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in present:
            raise FerEdgeError(
                f"no device '{name}' to train on: this machine has {', '.join(present)}", _FORMS
            )
    if len(set(names)) < len(names):
        raise FerEdgeError(f"--devices {wanted} names a device twice", _FORMS)
    if len({name.split(":")[0] for name in names}) > 1:
        raise FerEdgeError(
            f"--devices {wanted} mixes kinds of devices",
            "name devices of one kind: the slowest would set the pace",
        )
    return names


@contextmanager
def placed_on(devices: Sequence[str]) -> Iterator[None]:
    """What is built, loaded, fitted or evaluated inside runs on these devices.

    For the one device that Keras would take by itself nothing is changed.
    """
    if list(devices) == keras.distribution.list_devices()[:1]:
        yield
        return
    with _strategy(devices).scope():
        yield


def synchronize_batch_norm(model: keras.Model, devices: Sequence[str]) -> None:
    """Make batch norms use the statistics of the whole batch, not those of a device's share.

    JAX does so by itself; there and on one device the layers stay, or become again, as they were
    built.
    """
    for layer in batch_norms_of(model):
        layer.synchronized = len(devices) > 1 and keras.config.backend() == "tensorflow"


@contextmanager
def plain_batch_norm(model: keras.Model) -> Iterator[None]:
    """Keep ``synchronize_batch_norm``'s mark out of a file: JAX refuses a layer that bears it."""
    marked = [layer for layer in batch_norms_of(model) if layer.synchronized]
    for layer in marked:
        layer.synchronized = False
    try:
        yield
    finally:
        for layer in marked:
            layer.synchronized = True


def replicas(variable: keras.Variable) -> list[Any]:
    """A variable's copies, one a device on TensorFlow; else the variable alone.

    Assigning to a copy leaves the others.
    """
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        return list(tf.distribute.get_strategy().experimental_local_results(variable.value))
    return [variable]


def over_devices(number: Any) -> Any:
    """A sum over a device's share of the batch, brought together with those of the others.

    JAX's sums are over the whole batch by themselves.
    """
    if keras.config.backend() != "tensorflow":
        return number
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return number
    return context.all_reduce(tf.distribute.ReduceOp.SUM, number)


def batch_norms_of(model: keras.Model) -> Iterator[keras.layers.BatchNormalization]:
    """A model's batch norms, those of the models inside it too."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from batch_norms_of(layer)
        elif isinstance(layer, keras.layers.BatchNormalization):
            yield layer


def is_accelerator(device: str) -> bool:
    """Whether it is a GPU or a TPU."""
    return not device.startswith("cpu:")


def _strategy(devices: Sequence[str]) -> Any:
    if keras.config.backend() == "jax":
        return keras.distribution.DataParallel(devices=list(devices))
    import tensorflow as tf

    names = [f"/{name.upper()}" for name in devices]
    if len(names) == 1:
        return tf.distribute.OneDeviceStrategy(names[0])
    return tf.distribute.MirroredStrategy(names)
