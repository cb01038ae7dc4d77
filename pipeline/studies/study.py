"""A comparison of the paper: what it is about and which variants it has."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from pipeline.config import RunConfig
from pipeline.studies.figure import draw_scores
from pipeline.studies.variant import Variant


@dataclasses.dataclass(frozen=True)
class Study:
    """A study, listed in `pipeline.studies.studies.STUDIES`.

    Args:
        name: str. As in `hfmnas study NAME`.
        title: str. What it asks, in a few words.
        paper: str. The table or figure of the paper that it stands for.
        reference: str. Name of the variant that the others are compared with.
        variants_for: function from a `RunConfig` to the variants; which modalities there are depends on it.
        draw: function from the rows of `StudyResults`, the title and a binary file: draws the study. Defaults to
            `draw_scores`.
    """

    name: str
    title: str
    paper: str
    reference: str
    variants_for: Callable[[RunConfig], Sequence[Variant]]
    draw: Callable[[Sequence[Mapping[str, Any]], str, IO[bytes]], None] = draw_scores

    def variants(self, config: RunConfig) -> tuple[Variant, ...]:
        """The variants for a configuration.

        Raises:
            ValueError: when names are not unique, or a reference is not among them.
        """
        variants = tuple(self.variants_for(config))
        names = [variant.name for variant in variants]
        if len(set(names)) != len(names):
            raise ValueError(f"The variants of the study {self.name!r} need distinct names. Received: {names}.")
        for reference in {self.reference_of(variant) for variant in variants}:
            if reference not in names:
                raise ValueError(f"The study {self.name!r} has no variant {reference!r} to compare with: {names}.")
        return variants

    def reference_of(self, variant: Variant) -> str:
        """Name of the variant that `variant` is compared with."""
        return variant.reference or self.reference
