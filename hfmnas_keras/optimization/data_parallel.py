"""One step on several devices, each with its part of the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
from absl import logging

from hfmnas_keras.layers.layers_within import layers_within
from hfmnas_keras.layers.replicas import Replica, computing_on, present_replica


class DataParallel:
    """Computes a step's losses and gradients on several devices, as one does but for rounding and dropout's masks.

    The batch is divided into parts that differ by a row at most. Every mean, and so batch normalisation's statistics,
    the covariances of the DCCA loss, losses and gradients, is over the whole batch: layers and steps take it by
    `hfmnas_keras.layers.replicas`, and its gradients pass between the devices too. Variables are one device's; each
    step sends their values to the others, and is applied once.

    Args:
        model: `keras.Model` that steps compute. Keras's own batch normalisations in it, of backbones that a user made,
            are set to `synchronized`, so that they do as ours.
        devices: `"all"` or int. How many; `"all"` are all GPUs that TensorFlow sees, or one CPU. A number takes the
            first GPUs or, where there is none, logical CPU devices. No more than a batch has rows.
        batch_size: int.

    Attributes:
        names: list of str. The devices; of one alone TensorFlow chooses where to compute, as without this class.

    Raises:
        RuntimeError: when there are fewer devices than asked for.
    """

    def __init__(self, model: keras.Model, devices: str | int, batch_size: int):
        self.names = _device_names(devices)[:batch_size]
        self._strategy = None
        if len(self.names) > 1:
            # Not by collective operations, TensorFlow's choice: of them a process can have one group of devices only,
            # while its search and its training may ask for different ones.
            reduction = tf.distribute.ReductionToOneDevice()
            self._strategy = tf.distribute.MirroredStrategy(self.names, cross_device_ops=reduction)
            logging.info("Each batch of %d rows is divided over %s.", batch_size, ", ".join(self.names))
            for layer in layers_within(model):
                if type(layer) is keras.layers.BatchNormalization:
                    layer.synchronized = True

    def run(self, compute: Callable[..., Any], *batches: Any) -> Any:
        """Returns `compute(*batches)`, computed on all devices, inside a compiled function.

        Args:
            compute: function of the parts of the batches. It must change no variable where there is a
                `present_replica()`, and return a list structure of tensors that are the same on every replica.
            *batches: structures of tensors, whose first axes are rows: as many in all tensors of one batch.
        """
        if self._strategy is None:
            return compute(*batches)

        def compute_part(whole: Any) -> Any:
            context = tf.distribute.get_replica_context()
            index = int(tf.get_static_value(context.replica_id_in_sync_group))
            (rows,) = {tensor.shape[0] for tensor in tf.nest.flatten(whole)}
            begin, end = (rows * bound // len(self.names) for bound in (index, index + 1))
            parts = tf.nest.map_structure(lambda tensor: tensor[begin:end], whole)

            def sum_over_replicas(values: Any) -> Any:
                return context.all_reduce(tf.distribute.ReduceOp.SUM, values)

            with computing_on(Replica(index, (end - begin) / rows, sum_over_replicas)):
                return compute(*parts)

        results = self._strategy.run(compute_part, args=(list(batches),))
        return tf.nest.map_structure(lambda value: self._strategy.experimental_local_results(value)[0], results)


def seeds_of_replica(seed_states: Sequence[keras.Variable]) -> list[tuple[keras.Variable, Any]]:
    """Random state for the `state_mapping` of a scope: the first replica's as it is, other masks for the others."""
    replica = present_replica()
    if replica is None:
        return []
    offset = tf.constant([0x1B873593 * replica.index % 2**31, 0], tf.int64)
    return [(state, state.value + tf.cast(offset, state.value.dtype)) for state in seed_states]


def _device_names(devices: str | int) -> list[str]:
    gpus = [device.name for device in tf.config.list_logical_devices("GPU")]
    if isinstance(devices, str):
        return gpus or ["/device:CPU:0"]
    kind, names = ("GPU", gpus) if gpus else ("CPU", [device.name for device in tf.config.list_logical_devices("CPU")])
    if len(names) < devices:
        raise RuntimeError(
            f"{devices} devices were asked for, and TensorFlow sees {len(names)} of the kind {kind}. Lower `devices`, "
            "or before TensorFlow first computes make logical ones by `tf.config.set_logical_device_configuration`."
        )
    return names[:devices]
