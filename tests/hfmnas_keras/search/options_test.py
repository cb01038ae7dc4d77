"""Every option of the search and of the network takes the road from features to a trained model."""

import numpy as np
import pytest
import tensorflow as tf

from hfmnas_keras.optimization.f1_score import macro_f1
from hfmnas_keras.search.architecture_search import search_architecture
from hfmnas_keras.settings.search import SearchSettings
from hfmnas_keras.settings.training import TrainingSettings
from hfmnas_keras.training.final_training import train_fusion_network
from tests.hfmnas_keras.network_settings import NetworkSettings
from tests.hfmnas_keras.search.search_case import make_rows

TEXT_ALONE = {"lfbc_taps": ("text_low", "text_low"), "hfbc_taps": ("text_high", "text_high")}
IMAGE_ALONE = {"lfbc_taps": ("image_low", "image_low"), "hfbc_taps": ("image_high", "image_high")}
EXCHANGED = {"lfbc_taps": ("text_high", "image_high"), "hfbc_taps": ("image_low", "text_low")}


@pytest.fixture
def eager_steps():
    """Tracing would take all the time of a run of few steps."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


# Several options a run, each at least once.
@pytest.mark.parametrize(
    ("fusion", "search"),
    [
        # The defaults, which other tests search with too.
        pytest.param(
            {"kept_nodes": 1, "node_inputs": "pair"},
            {"alternation": "ratio"},
            id="pair-ratio-kept_1",
            marks=pytest.mark.long,
        ),
        pytest.param(
            {**TEXT_ALONE, "kept_nodes": 2, "kept_edges": 3, "node_inputs": "split", "attention": False},
            {"alternation": "every_step"},
            id="split-every_step-text-three_edges-no_attention",
        ),
        pytest.param(
            {**IMAGE_ALONE, "node_inputs": "shared", "num_cells": 2, "correlation": False},
            {"alternation": "phased"},
            id="shared-phased-image-two_cells-no_correlation",
        ),
        pytest.param(
            {**EXCHANGED, "attention": False, "correlation": False, "vector_to_grid": "tile"},
            {"second_order": True},
            id="second_order-exchanged-no_mitigation",
            # The steps themselves have quick tests.
            marks=pytest.mark.long,
        ),
    ],
)
def test_options_lead_to_a_trained_model(eager_steps, tmp_path, fusion, search):
    fusion = NetworkSettings(
        **{"channels": 8, "grid": (2, 2), "num_nodes": 2, "kept_nodes": 2, "num_heads": 2, "correlation_dim": 4}
        | {"sequence_encoder": False}
        | fusion
    )
    train, dev = make_rows(8, 0), make_rows(6, 1)
    searched = search_architecture(
        train,
        dev,
        3,
        settings=SearchSettings(channels=8, epochs=1, batch_size=4, **search),
        checkpoint_dir=tmp_path / "search",
        **fusion.search(),
    )
    (record,) = searched.history
    assert np.isfinite([record[name] for name in ("train_loss", "architecture_loss", "discretised_dev_loss")]).all()
    assert (record["added_loss"] > 0) == fusion.mitigation.correlation
    assert record["largest_movement"] > 0
    # 8 rows are two batches; 6 rows two, of which the ratio of 2 weight steps to 1 leaves one.
    assert (
        searched.cost["architecture_steps"]
        == {"ratio": 1, "every_step": 2, "phased": 2}[search.get("alternation", "ratio")]
    )
    genotype = searched.genotype
    assert [len(cell.kept) for cell in genotype.cells.values()] == [fusion.space.kept_nodes] * 2
    assert genotype.metadata["lfbc_taps"] == list(fusion.fusion.lfbc_taps)

    settings = TrainingSettings(max_epochs=1, batch_size=4, unfreeze_backbones=False)
    trained = train_fusion_network(
        genotype, train, dev, 3, settings=settings, checkpoint_dir=tmp_path / "training", **fusion.model
    )
    model = trained.fusion_network
    assert {tensor.name for tensor in model.inputs} == {*fusion.fusion.lfbc_taps, *fusion.fusion.hfbc_taps}
    logits = np.asarray(model(dev.features, training=False))
    assert logits.shape == (6, 3) and np.isfinite(logits).all()
    assert 0 <= macro_f1(dev.labels, logits) <= 1
    assert np.isfinite([record["loss"] for part in trained.history.values() for record in part]).all()


@pytest.mark.parametrize(
    ("fusion", "search"),
    [
        pytest.param({"in_bm_nas": False}, {"alternation": "phased"}, id="plain-phased"),
        pytest.param({"in_bm_nas": True, "inner_steps": 2}, {"second_order": True}, id="mitigated-second_order"),
    ],
)
def test_bm_nas_leads_to_a_trained_model(eager_steps, tmp_path, fusion, search):
    fusion = NetworkSettings(channels=8, grid=(2, 2), num_heads=2, correlation_dim=4, **fusion)
    train, dev = make_rows(8, 0), make_rows(6, 1)
    search = SearchSettings(channels=8, epochs=1, batch_size=4, **search)
    searched = search_architecture(
        train, dev, 3, settings=search, checkpoint_dir=tmp_path / "search", model="bm_nas", **fusion.search("bm_nas")
    )
    (record,) = searched.history
    assert np.isfinite([record[name] for name in ("train_loss", "architecture_loss", "discretised_dev_loss")]).all()
    assert (record["added_loss"] > 0) == fusion.mitigation.in_bm_nas
    assert record["largest_movement"] > 0
    genotype = searched.genotype
    assert [len(cell["steps"]) for cell in genotype.cells] == [fusion.bm_space.inner_steps] * 2
    assert genotype.features == ("text_low", "image_low", "text_high", "image_high")

    settings = TrainingSettings(max_epochs=1, batch_size=4, unfreeze_backbones=False)
    trained = train_fusion_network(
        genotype, train, dev, 3, settings=settings, checkpoint_dir=tmp_path / "training", **fusion.model, model="bm_nas"
    )
    network = trained.fusion_network
    assert {tensor.name for tensor in network.inputs} == set(genotype.read_features)
    logits = np.asarray(network(dev.features, training=False))
    assert logits.shape == (6, 3) and np.isfinite(logits).all()
    losses = [record for part in trained.history.values() for record in part]
    assert np.isfinite([record["loss"] for record in losses]).all()
    assert all((record["added_loss"] > 0) == fusion.mitigation.in_bm_nas for record in losses)
    with pytest.raises(ValueError, match="a genotype of its own kind. Received: one of 'bm_nas'"):
        train_fusion_network(
            genotype, train, dev, 3, settings=settings, checkpoint_dir=tmp_path / "other", **fusion.model
        )
