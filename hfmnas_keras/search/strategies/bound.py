"""Keeps what is drawn below a bound of cost."""

from __future__ import annotations

from collections.abc import Callable

from hfmnas_keras.cost.model_cost import ModelCost
from hfmnas_keras.genotype.genotype import Genotype
from hfmnas_keras.settings.race import RaceSettings

#: Draws after which a bound is given up.
MOST_DRAWS = 2000


class Bound:
    """The bounds of `RaceSettings` on a candidate's cost.

    Args:
        settings: `RaceSettings`.
        cost: function from a genotype to its `ModelCost`; called where there is a bound alone.
    """

    def __init__(self, settings: RaceSettings, cost: Callable[[Genotype], ModelCost]):
        self._most = {"parameters": settings.max_parameters, "flops": settings.max_flops}
        self._cost = cost

    def first_within(self, draw: Callable[[int], Genotype]) -> Genotype:
        """The first of a row of draws that is not above the bounds.

        Args:
            draw: function from 0, 1 and so on to a genotype.

        Raises:
            ValueError: when none of `MOST_DRAWS` draws is within.
        """
        bounds = {name: most for name, most in self._most.items() if most is not None}
        if not bounds:
            return draw(0)
        least = dict.fromkeys(bounds, float("inf"))
        for attempt in range(MOST_DRAWS):
            genotype = draw(attempt)
            cost = self._cost(genotype)
            received = {name: getattr(cost, name) for name in bounds}
            if all(received[name] <= most for name, most in bounds.items()):
                return genotype
            least = {name: min(least[name], value) for name, value in received.items()}
        told = [f"race.max_{name}={most}, where the least was {least[name]}" for name, most in bounds.items()]
        raise ValueError(
            f"None of {MOST_DRAWS} genotypes that were drawn is within the bounds. Received: {', '.join(told)}. "
            "Raise the bounds, or lower `search.channels`."
        )
