"""What the networks whose architecture can be searched have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from hfmnas_keras.genotype.base_genotype import BaseGenotype
from hfmnas_keras.models.parts.taps import check_taps
from hfmnas_keras.settings.fusion import FusionSettings, MitigationSettings


class BaseSupernet(keras.Model):
    """A fusion network with all choices of a search space open: what `search_architecture` needs to know of it.

    All weights exist as soon as the object does. What it loses beside the task is among `losses` in training mode.
    Nothing is kept in Python between calls: under `keras.StatelessScope` a training call changes nothing.

    Args:
        feature_shapes: dict from feature name to shape without the batch, `(d,)` or `(height, width, c)`. It must
            hold the taps that `fusion` names; further features are ignored, here and in a call.
        num_outputs: int. Classes or labels.
        fusion: `FusionSettings`. Defaults to the paper's.
        mitigation: `MitigationSettings`. Defaults to the paper's.
        space: the settings of `SPACE_CLASS`. Defaults to the paper's.
        channels: int. Channels of every grid, the width of the search. Defaults to `64`.
        partial_channels: int. K: 1/K of the channels of each edge passes its operations, in a search space whose edges
            have operations. Defaults to `1`.

    Call arguments:
        inputs: dict of features `(batch, *shape)` by name.

    Returns:
        Logits, float32 `(batch, num_outputs)`.
    """

    #: Dataclass of the space that a subclass chooses from.
    SPACE_CLASS: type

    def __init__(
        self,
        feature_shapes: Any,
        num_outputs: int,
        fusion: Any = None,
        mitigation: Any = None,
        space: Any = None,
        channels: int = 64,
        partial_channels: int = 1,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.fusion = _settings(FusionSettings, fusion)
        self.mitigation_settings = _settings(MitigationSettings, mitigation)
        self.space = _settings(self.SPACE_CLASS, space)
        self.channels = channels
        self.feature_names = check_taps(feature_shapes, self.fusion)
        if num_outputs < 1:
            raise ValueError(f"`num_outputs` must be at least 1. Received: {num_outputs}.")
        self.feature_shapes = {name: tuple(shape) for name, shape in feature_shapes.items()}
        self.num_outputs = num_outputs
        self.partial_channels = partial_channels
        self.build({name: (None, *shape) for name, shape in self.feature_shapes.items()})

    @property
    def architecture_variables(self) -> list[keras.Variable]:
        """Gamma and beta: what the dev loss trains (Eq. 29)."""
        raise NotImplementedError(f"`{type(self).__name__}` must state `architecture_variables`.")

    @property
    def weight_variables(self) -> list[keras.Variable]:
        """All other trainable variables: what the train loss trains (Eq. 30)."""
        architecture = {id(variable) for variable in self.architecture_variables}
        return [variable for variable in self.trainable_variables if id(variable) not in architecture]

    def probabilities(self) -> dict[str, np.ndarray]:
        """Softmax of all logits by label, `cell/gamma`, `cell/beta`, ...; the genotype's tables name rows and columns.

        In every gamma the first two columns are `none` and `skip`.
        """
        raise NotImplementedError(f"`{type(self).__name__}` must state `probabilities`.")

    def genotype(self, metadata: Mapping[str, Any] | None = None) -> BaseGenotype:
        """The architecture that the present logits stand for.

        Args:
            metadata: mapping of JSON-able values to add to the genotype's.
        """
        raise NotImplementedError(f"`{type(self).__name__}` must state `genotype`.")

    def choices_of(self, genotype: Any) -> Any:
        """A genotype as nested arrays, which `discretised_logits` takes."""
        raise NotImplementedError(f"`{type(self).__name__}` must state `choices_of`.")

    def discretised_logits(self, inputs: Any, choices: Any) -> Any:
        """What the searched model of a genotype would say, had it this supernet's weights, in inference mode.

        The searched model is that of this width, without what the search has not. Nothing is assigned, neither here
        nor in a graph made of it.

        Args:
            inputs: dict of features, as of a call.
            choices: what `choices_of` returns for the genotype; tensors of the same shapes will do.

        Returns:
            Logits, float32 `(batch, num_outputs)`.
        """
        raise NotImplementedError(f"`{type(self).__name__}` must state `discretised_logits`.")

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(
            {
                "feature_shapes": {name: list(shape) for name, shape in self.feature_shapes.items()},
                "num_outputs": self.num_outputs,
                "fusion": dataclasses.asdict(self.fusion),
                "mitigation": dataclasses.asdict(self.mitigation_settings),
                "space": dataclasses.asdict(self.space),
                "channels": self.channels,
                "partial_channels": self.partial_channels,
            }
        )
        return config

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch = next(iter(input_shape.values()))[0]
        return (batch, self.num_outputs)


def _settings(settings_class: type, settings: Any) -> Any:
    if isinstance(settings, settings_class):
        return settings
    # From a saved config, in which tuples have become lists.
    return settings_class(
        **{name: tuple(value) if isinstance(value, list) else value for name, value in (settings or {}).items()}
    )
