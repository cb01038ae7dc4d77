"""Several fusion networks as one."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from hfmnas_keras.layers.weighted_vote import WeightedVote


def fusion_ensemble(networks: Sequence[keras.Model], votes: Sequence[int], multi_label: bool) -> keras.Model:
    """Fusion networks beside each other on the same features, whose answer is their vote.

    Args:
        networks: functional models from features by name to logits `(batch, classes)`.
        votes: ints above 0, one a network.
        multi_label: bool. Sigmoid instead of softmax.

    Returns:
        Functional `keras.Model` from a dict of all features that they read to logits, see `WeightedVote`.
    """
    inputs: dict[str, keras.KerasTensor] = {}
    for network in networks:
        for tensor in network.inputs:
            inputs.setdefault(tensor.name, keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=tensor.name))
    logits = []
    for number, network in enumerate(networks, start=1):
        # They were built alike, and two layers of one name cannot be told apart.
        member = keras.Model(network.inputs, network.output, name=f"member_{number}")
        logits.append(member([inputs[tensor.name] for tensor in network.inputs]))
    vote = WeightedVote(votes, multi_label, name="vote")
    # Of a model whose inputs are a list, a symbolic call with a dictionary takes them in the order of their names.
    return keras.Model(inputs, vote(logits), name="fusion_ensemble")
