"""Several fusion networks in one final model."""

import dataclasses

import keras
import numpy as np
import pytest
from scipy.special import expit, softmax

from hfmnas_keras.cost import model_cost
from hfmnas_keras.data.feature_set import FeatureSet
from hfmnas_keras.evidence.thresholds import choose_thresholds
from hfmnas_keras.settings.training import TrainingSettings
from hfmnas_keras.training import final_model
from hfmnas_keras.training.final_model import train_final_model
from hfmnas_keras.training.final_training import train_fusion_network
from tests.hfmnas_keras.network_settings import NetworkSettings

FUSION = NetworkSettings(channels=4, grid=(1, 1), num_heads=2, correlation_dim=2)
# No two alike, so that none can be taken for another.
SIZES = {"text_low": 4, "text_high": 5, "image_low": 6, "image_high": 7}
SETTINGS = TrainingSettings(
    max_epochs=3, patience=3, batch_size=8, learning_rate=0.02, unfreeze_backbones=False, seed=3
)
SIZE = 3


def make_rows(rows, seed, multi_label):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, size=rows)
    features = {
        name: ((labels == number % 3)[:, None] + generator.normal(size=(rows, size))).astype("float32")
        for number, (name, size) in enumerate(SIZES.items())
    }
    if multi_label:
        labels = (np.eye(3)[labels] * (generator.random((rows, 3)) < 0.9)).astype("float32")
    return FeatureSet(np.arange(rows).astype(str), features, labels)


def train(folder, multi_label=False, size=SIZE, settings=SETTINGS):
    rows = make_rows(40, 0, multi_label), make_rows(30, 1, multi_label)
    parts = FUSION.changed(ensemble=size).model
    return train_final_model(None, *rows, 3, settings=settings, checkpoint_dir=folder, model="gmu", **parts)


def probabilities(network, rows, multi_label):
    logits = network.predict(rows.inputs(), verbose=0).astype("float64")
    return expit(logits) if multi_label else softmax(logits, axis=1)


@pytest.fixture(scope="module", params=[False, True], ids=["one label", "several"])
def trained(request, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        if request.param:
            # Of these rows one network alone would have all votes.
            patched.setattr(final_model, "select_votes", lambda labels, logits: [2, 0, 1])
        return request.param, train(tmp_path_factory.mktemp("whole"), request.param)


def test_the_network_is_the_vote_of_networks_trained_alone(trained, tmp_path):
    multi_label, result = trained
    train_rows, dev = make_rows(40, 0, multi_label), make_rows(30, 1, multi_label)
    votes = [member["votes"] for member in result.members]
    assert len(votes) == SIZE and sum(votes) > 0
    alone = {}
    for number, count in enumerate(votes):
        if count:
            settings = dataclasses.replace(SETTINGS, seed=3 + 10_007 * number)
            folder = tmp_path / str(number)
            alone[number] = train_fusion_network(
                None, train_rows, dev, 3, settings=settings, checkpoint_dir=folder, model="gmu", **FUSION.model
            )
    assert {number: one.epochs for number, one in alone.items()} == {
        number: result.members[number]["epochs"] for number in alone
    }
    # Retrained on dev, and served by one model, which can be saved.
    expected = sum(votes[n] * probabilities(one.fusion_network, dev, multi_label) for n, one in alone.items())
    result.fusion_network.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    # As the classifier calls it, on what backbones give.
    features = {name: keras.Input((size,), name=name) for name, size in SIZES.items()}
    within = keras.Model(features, loaded({name: 1.0 * feature for name, feature in features.items()}))
    for network in (result.fusion_network, loaded, within):
        np.testing.assert_allclose(probabilities(network, dev, multi_label), expected / sum(votes), atol=2e-6)
    # Each is counted, and the vote costs no product.
    assert model_cost(loaded).flops == sum(model_cost(one.fusion_network).flops for one in alone.values())
    # Scores and thresholds are those of the whole, on what the fits said of dev.
    squash = expit if multi_label else (lambda array: softmax(array, axis=1))
    whole = sum(votes[n] * squash(one.dev_logits.astype("float64")) for n, one in alone.items()) / sum(votes)
    np.testing.assert_allclose(squash(result.dev_logits), whole, atol=1e-9)
    if multi_label:
        thresholds = choose_thresholds(dev.labels, np.log(whole / (1 - whole)), "per_class")
        np.testing.assert_allclose(result.thresholds, thresholds, rtol=1e-6)
    else:
        assert result.thresholds is None
        losses = [-np.log(squash(one.dev_logits)[np.arange(30), dev.labels]).mean() for one in alone.values()]
        told = [result.members[number]["dev_loss"] for number in alone]
        np.testing.assert_allclose(told, losses, rtol=1e-5)


def test_what_each_adds_is_told(trained):
    _, result = trained
    voting = [member for member in result.members if member["votes"]]
    assert all(member["dev_loss_without"] is not None for member in voting) or len(voting) == 1
    assert result.seconds == pytest.approx(sum(member["seconds"] for member in result.members))
    chosen = max(result.members, key=lambda member: member["votes"])
    assert (result.epochs, len(result.history["retrain"])) == (chosen["epochs"], chosen["epochs"])


def test_a_network_without_votes_is_not_served(tmp_path, monkeypatch):
    monkeypatch.setattr(final_model, "select_votes", lambda labels, logits: [0, 2, 1])
    result = train(tmp_path)
    assert [layer.name for layer in result.fusion_network.layers if layer.name.startswith("member")] == [
        "member_1",
        "member_2",
    ]
    assert result.fusion_network.get_layer("vote").votes == [2.0, 1.0]
    # Of the one that was left out the fit alone was made.
    assert not (tmp_path / "member_0" / "training.npz").read_bytes().count(b'"part": "retrain"')
    assert [member["votes"] for member in result.members] == [0, 2, 1]


def test_killed_anywhere_it_ends_in_the_same_network(tmp_path, monkeypatch):
    expected = train(tmp_path / "whole")
    save = final_model.SavedState.save

    class Stop(Exception):
        pass

    left = [0]

    def save_and_stop(self, variables, record):
        save(self, variables, record)
        left[0] -= 1
        if left[0] == 0:
            raise Stop

    monkeypatch.setattr(final_model.SavedState, "save", save_and_stop)
    stops = 0
    while True:
        # After each few writes of a state: in fits, behind the selection, in retrainings.
        left[0] = 3
        try:
            result = train(tmp_path / "stopped")
            break
        except Stop:
            stops += 1
    assert stops >= 3
    for value, other in zip(result.fusion_network.get_weights(), expected.fusion_network.get_weights(), strict=True):
        assert value.tobytes() == other.tobytes()
    without_seconds = [
        [{key: value for key, value in member.items() if key != "seconds"} for member in one.members]
        for one in (result, expected)
    ]
    assert without_seconds[0] == without_seconds[1]


def test_one_network_is_the_one_that_was_trained_before(tmp_path):
    result = train(tmp_path / "one", size=1)
    rows = make_rows(40, 0, False), make_rows(30, 1, False)
    alone = train_fusion_network(
        None, *rows, 3, settings=SETTINGS, checkpoint_dir=tmp_path / "alone", model="gmu", **FUSION.model
    )
    assert result.members == []
    for value, other in zip(result.fusion_network.get_weights(), alone.fusion_network.get_weights(), strict=True):
        assert value.tobytes() == other.tobytes()


def test_unfrozen_backbones_cannot_follow_several_networks(tmp_path):
    settings = dataclasses.replace(SETTINGS, unfreeze_backbones=True)
    with pytest.raises(ValueError, match="final_model.ensemble=3, training.unfreeze_backbones=True"):
        train(tmp_path, settings=settings)
