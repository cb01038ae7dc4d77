"""Settings of the strategies that train candidates (docs/method.md, section 7)."""

from __future__ import annotations

import dataclasses

from hfmnas_keras.settings.checks import require

STRATEGIES = ("bilevel", "race", "evolution", "random")
SCORES = ("dev_loss", "train_loss", "dev_macro_f1")


@dataclasses.dataclass(frozen=True)
class RaceSettings:
    """How candidates are trained and compared, for every strategy but `bilevel`.

    Width, batch size, rates and decay are those of `SearchSettings`. The rate falls once, over the epochs of the last
    rung.

    Args:
        candidates: int. Genotypes that are trained. With `SearchSettings.minutes` as many as fit. Defaults to `16`.
        rungs: tuple of ints, rising. Epochs after which a race compares the candidates that are left; `evolution` and
            `random` train each for the last number. Defaults to `(2, 6)`.
        kept: float. Share of the candidates that passes a rung, one at least. Defaults to `0.25`.
        score: str. What is compared: `"dev_loss"` (default), `"train_loss"` (the sum over all epochs so far, which
            needs no held-out rows: Ru et al., 2021) or `"dev_macro_f1"`.
        label_smoothing: float. In the candidates' training. Defaults to `0`.
        seeded: bool. Whether a bilevel search comes first, of whose distribution a third of the candidates is drawn;
            another third are neighbours of its genotype, and the rest is drawn evenly. Defaults to `False`.
        population: int. Of `evolution`: how many of the last candidates may be parents. Defaults to `8`.
        sample: int. Of `evolution`: the best of so many drawn ones is the next parent. Defaults to `3`.
        max_parameters, max_flops: ints or None. Most that the searched model of a candidate may have, counted by
            `model_cost` at `SearchSettings.channels`; genotypes above are not drawn. `None` (default): any.

    Reference:
     - race: [Jamieson and Talwalkar, 2016](https://arxiv.org/abs/1502.07943); evolution: [Real et al.,
       2019](https://arxiv.org/abs/1802.01548); sum of training losses: [Ru et al.,
       2021](https://arxiv.org/abs/2006.04492)
    """

    candidates: int = 16
    rungs: tuple[int, ...] = (2, 6)
    kept: float = 0.25
    score: str = "dev_loss"
    label_smoothing: float = 0.0
    seeded: bool = False
    population: int = 8
    sample: int = 3
    max_parameters: int | None = None
    max_flops: int | None = None

    def __post_init__(self) -> None:
        # From JSON, which has lists.
        object.__setattr__(self, "rungs", tuple(self.rungs))
        require(self.candidates >= 2, "race.candidates", self.candidates, "at least 2")
        rungs = list(self.rungs)
        require(
            bool(rungs) and rungs[0] >= 1 and rungs == sorted(set(rungs)), "race.rungs", self.rungs, "rising numbers"
        )
        require(0 < self.kept < 1, "race.kept", self.kept, "between 0 and 1")
        require(self.score in SCORES, "race.score", self.score, f"one of {SCORES}")
        require(0 <= self.label_smoothing < 1, "race.label_smoothing", self.label_smoothing, "in [0, 1)")
        require(self.population >= 2, "race.population", self.population, "at least 2")
        for name in ("max_parameters", "max_flops"):
            most = getattr(self, name)
            require(most is None or most >= 1, f"race.{name}", most, "at least 1, or None")
        require(1 <= self.sample <= self.population, "race.sample", self.sample, f"1 to population={self.population}")
