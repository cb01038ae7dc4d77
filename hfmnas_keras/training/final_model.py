"""Trains the final model of a run: one fusion network, or several that vote."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import logging

from hfmnas_keras.data.feature_set import FeatureSet
from hfmnas_keras.data.transformed_examples import TransformedExamples
from hfmnas_keras.genotype.bm_genotype import BMGenotype
from hfmnas_keras.genotype.genotype import Genotype
from hfmnas_keras.models.fusion_ensemble import fusion_ensemble
from hfmnas_keras.optimization.epoch_choice import dev_scores
from hfmnas_keras.optimization.saved_state import SavedState
from hfmnas_keras.settings.fusion import FinalModelSettings, FusionSettings
from hfmnas_keras.settings.training import TrainingSettings
from hfmnas_keras.training.ensemble_selection import select_votes, vote
from hfmnas_keras.training.final_training import train_fusion_network
from hfmnas_keras.training.training_result import TrainingResult

# Between the seeds of two members: a run with the next seed shares none of them.
_SEED_STEP = 10_007


def train_final_model(
    genotype: Genotype | BMGenotype | None,
    train: FeatureSet | TransformedExamples,
    dev: FeatureSet | TransformedExamples,
    num_outputs: int,
    fusion: FusionSettings,
    settings: TrainingSettings,
    checkpoint_dir: str | os.PathLike,
    final_model: FinalModelSettings | None = None,
    others: Sequence[Genotype | BMGenotype] = (),
    fixed_threshold: float = 0.5,
    **more: Any,
) -> TrainingResult:
    """Trains `final_model.ensemble` fusion networks and lets those vote that are better together.

    Each network is fitted on train with dev watched, from a seed of its own. Greedy selection on their predictions of
    dev, which none was fitted on, gives each a number of votes (`select_votes`); scores and thresholds of the whole are
    taken there too. Those with votes are retrained on train + dev, each for its own number of epochs, and stand beside
    each other in one network. One network alone is `train_fusion_network`.

    Called again with the same arguments after a kill, the training goes on where it was.

    Args:
        genotype: that of the first network, as of `train_fusion_network`.
        train, dev, num_outputs, fusion, settings, checkpoint_dir, fixed_threshold: as of `train_fusion_network`.
        final_model: `FinalModelSettings`. Defaults to the paper's, which has one network.
        others: genotypes of the second network and of those after it, such as a race's next best. Where there are
            none left, the networks have `genotype` again. Defaults to `()`.
        **more: further arguments of `train_fusion_network`, but `retrain`.

    Returns:
        `TrainingResult`. Of several networks `history` and `epochs` are those of the one with the most votes,
        `dev_logits` are those of the vote, and `members` tells of each.

    Raises:
        ValueError: as `train_fusion_network`, and for several networks with unfrozen backbones.
        RuntimeError: as `train_fusion_network`.
    """
    final_model = final_model or FinalModelSettings()
    folder, size = pathlib.Path(checkpoint_dir), final_model.ensemble
    if size > 1 and settings.unfreeze_backbones:
        raise ValueError(
            "Several fusion networks share one pair of backbones, which cannot follow all of them. Received: "
            f"final_model.ensemble={size}, training.unfreeze_backbones=True. Set the one to 1 or the other to False."
        )
    genotypes = [genotype, *others][:size]
    genotypes += [genotype] * (size - len(genotypes))

    def trained(number: int, folder: pathlib.Path, retrain: bool = True) -> TrainingResult:
        return train_fusion_network(
            genotypes[number],
            train,
            dev,
            num_outputs,
            fusion,
            dataclasses.replace(settings, seed=settings.seed + _SEED_STEP * number),
            folder,
            retrain=retrain,
            final_model=dataclasses.replace(final_model, ensemble=1),
            fixed_threshold=fixed_threshold,
            **more,
        )

    if size == 1:
        return trained(0, folder)

    def voted(results: Sequence[TrainingResult], votes: Sequence[int]) -> np.ndarray:
        return vote([result.dev_logits for result in results], votes, dev.labels.ndim == 2)

    def scores(logits: np.ndarray) -> dict[str, Any]:
        return dev_scores(dev.labels, logits, settings.threshold, fixed_threshold)

    contents = [one and json.loads(one.to_json()) for one in genotypes]
    selection = SavedState(folder / "selection.npz", {"genotypes": contents, "seed": settings.seed})
    if not selection.exists():
        fits = [trained(number, folder / f"member_{number}", retrain=False) for number in range(size)]
        votes = select_votes(dev.labels, [fit.dev_logits for fit in fits])
        members = []
        for number, fit in enumerate(fits):
            rest = [0 if other == number else count for other, count in enumerate(votes)]
            alone = {
                name: getattr(fit, name) for name in ("epochs", "dev_macro_f1", "dev_average_precision", "seconds")
            }
            alone["dev_loss"] = scores(fit.dev_logits)["dev_loss"]
            without = scores(voted(fits, rest))["dev_loss"] if any(rest) else None
            members.append({"votes": votes[number], **alone, "dev_loss_without": without})
        selection.save([], {"members": members})
    members = selection.record()["members"]
    chosen = [number for number, member in enumerate(members) if member["votes"]]
    votes = [members[number]["votes"] for number in chosen]
    results = [trained(number, folder / f"member_{number}") for number in chosen]
    for number, result in zip(chosen, results, strict=True):
        members[number]["seconds"] = result.seconds
    logits = voted(results, votes)
    whole = scores(logits)
    logging.info(
        "Final model: votes %s, dev loss %.4f, macro F1 %.4f.", votes, whole["dev_loss"], whole["dev_macro_f1"]
    )
    return dataclasses.replace(
        results[int(np.argmax(votes))],
        fusion_network=fusion_ensemble([result.fusion_network for result in results], votes, dev.labels.ndim == 2),
        dev_macro_f1=whole["dev_macro_f1"],
        dev_average_precision=whole["dev_average_precision"],
        thresholds=np.array(whole["thresholds"]) if "thresholds" in whole else None,
        dev_logits=logits,
        members=members,
    )
