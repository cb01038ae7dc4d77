"""The steps of search and training on one device and on several; run as a script, in a process of its own.

TensorFlow takes logical devices only before it first computes. Prints one JSON object: by case the losses on one device
and the largest difference of any variable after the steps.
"""

import json
import sys

import keras
import numpy as np
import tensorflow as tf

STEPS = 3


def main():
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 3)
    print(json.dumps({case: compare(*CASES[case]) for case in sys.argv[1:]}))


def compare(run, devices, settings):
    one, several = (run(devices=number, **settings) for number in (1, devices))
    differences = {
        path: float(np.abs(mine - other).max())
        for (path, mine), (_, other) in zip(one["variables"], several["variables"], strict=True)
    }
    worst = max(differences, key=differences.get)
    return {
        "one": one["losses"],
        "several": several["losses"],
        "moved": one["moved"],
        "worst": [worst, differences[worst]],
        "devices": several["devices"],
    }


class EdgeNet(keras.Model):
    """A small supernet: mixed edges, DCCA, and Keras's own batch normalisation, as the search asks for one."""

    def __init__(self, dropout=0.0, **kwargs):
        from hfmnas_keras.cell.mixed_edges import MixedEdges
        from hfmnas_keras.inconsistency.dcca import CorrelationLoss

        super().__init__(**kwargs)
        self.norm = keras.layers.BatchNormalization(name="norm")
        self.edges = MixedEdges(4, 1, dropout=dropout, dtype=self.dtype_policy, name="edges")
        self.correlation_loss = CorrelationLoss(dtype=self.dtype_policy, name="correlation_loss")
        self.head = keras.layers.Dense(3, name="head")
        self.norm.build((None, 2, 2, 4))
        self.edges.build([(None, 2, 2, 4), (1, 10)])
        self.correlation_loss.build([(None, 2, 2, 2)] * 2)
        self.head.build((None, 16))
        self.gamma_variable = self.add_weight(shape=(1, 10), initializer="normal", name="gamma")
        self.built = True

    def call(self, inputs, training=False):
        grid = self.norm(inputs["image_low"], training=training)
        mixed = self.edges([grid, keras.ops.softmax(self.gamma_variable)], training=training)
        if training:
            self.add_loss(self.correlation_loss([mixed[0, ..., :2], mixed[0, ..., 2:]], training=True))
        return self.head(keras.ops.reshape(mixed, (-1, 16)))

    @property
    def architecture_variables(self):
        return [self.gamma_variable]

    @property
    def weight_variables(self):
        return [variable for variable in self.trainable_variables if variable is not self.gamma_variable]


def search_steps(devices, whole=False, dropout=0.0, **settings):
    from hfmnas_keras.data.streamed_rows import feature_rows
    from hfmnas_keras.models.hf_mnas.supernet import Supernet
    from hfmnas_keras.search.bilevel_step import BilevelStep
    from hfmnas_keras.settings.search import SearchSettings
    from tests.hfmnas_keras.search import search_case

    keras.utils.set_random_seed(3)
    rows = search_case.make_rows(24, 0), search_case.make_rows(12, 1)
    settings = SearchSettings(channels=8, batch_size=8, devices=devices, **settings)
    if whole:
        fusion = search_case.FUSION.changed(dropout=0.0)
        supernet = Supernet(rows[0].feature_shapes, 3, **fusion.supernet(), name="supernet")
    else:
        supernet = EdgeNet(dropout, dtype=settings.precision)
    names = tuple(rows[0].features)
    train, dev = (feature_rows(each, names, settings.device_bytes) for each in rows)
    step = BilevelStep(supernet, train, dev, settings, steps_per_epoch=3, architecture_learning_rate=0.01)
    order = np.random.default_rng(0)

    def run():
        for _ in range(STEPS):
            numbers = [order.choice(12, 8, replace=False).astype("int32") for _ in range(3)]
            step.architecture_step(*numbers[: 2 if settings.second_order else 1])
            step.weight_step(numbers[2])
        return step.mean_losses()

    return record_of(step, run)


def training_steps(devices, model="hf_mnas", **settings):
    from hfmnas_keras.genotype import CellGenotype, Genotype, NodeChoice
    from hfmnas_keras.models.fusion_network import fusion_network
    from hfmnas_keras.settings.training import TrainingSettings
    from hfmnas_keras.training.training_step import TrainingStep
    from tests.hfmnas_keras.network_settings import NetworkSettings
    from tests.hfmnas_keras.search import search_case

    keras.utils.set_random_seed(3)
    rows = search_case.make_rows(24, 0)
    node = NodeChoice(0, (0, 1), ("sep_conv_3x3", "linear_tanh"), "multiply")
    cell = CellGenotype(1, (node,), kept=(0,))
    network = fusion_network(
        model,
        rows.feature_shapes,
        3,
        multi_label=False,
        genotype=Genotype(cell, cell) if model == "hf_mnas" else None,
        vocabulary_size=11 if model == "hf_mnas" else None,
        max_tokens=5 if model == "hf_mnas" else None,
        **NetworkSettings(channels=8, grid=(2, 2), correlation_dim=4, dropout=0.0).model,
    )
    inputs = {tensor.name: tensor for tensor in network.inputs}
    whole = keras.Model(inputs, network(inputs))
    step = TrainingStep(whole, [], TrainingSettings(devices=devices, **settings), total_steps=STEPS)
    order = np.random.default_rng(0)
    tokens = order.integers(1, 11, size=(24, 5))

    def run():
        for _ in range(STEPS):
            numbers = order.choice(24, step.settings.batch_size, replace=False)
            batch = {name: tf.constant(({**rows.features, "tokens": tokens})[name][numbers]) for name in inputs}
            step.run(batch, tf.constant(rows.labels[numbers]))
        return step.take_losses()

    return record_of(step, run)


def record_of(step, run):
    before = [np.array(keras.ops.convert_to_numpy(variable)) for variable in step.variables]
    losses = run()
    after = [np.array(keras.ops.convert_to_numpy(variable)) for variable in step.variables]
    return {
        "losses": losses,
        "variables": [(variable.path, value) for variable, value in zip(step.variables, after, strict=True)],
        "moved": float(np.mean([not np.array_equal(*pair) for pair in zip(before, after, strict=True)])),
        "devices": step._devices.names,
    }


CASES = {
    "edges": (search_steps, 2, {}),
    "edges_uneven": (search_steps, 3, {"device_bytes": 0}),
    "second_order": (search_steps, 2, {"second_order": True}),
    "dropout": (search_steps, 2, {"dropout": 0.3}),
    "float16": (search_steps, 2, {"precision": "mixed_float16"}),
    "supernet": (search_steps, 2, {"whole": True}),
    "central_net": (training_steps, 2, {"model": "central_net"}),
    "hf_mnas_uneven": (training_steps, 3, {"batch_size": 7}),
}

if __name__ == "__main__":
    main()
