"""Pairs that contradict each other on purpose: the text of some rows is replaced by another row's.

The experiment of section 2 of `docs/method.md`. All is decided where the rows are listed, before any picture is opened
and before Beam hands rows to its workers: what comes out does not depend on how many there are. A table of the
listing's texts by label is all the memory that it takes.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from components.multimodal_example_gen.record import comparable_text
from components.multimodal_example_gen.row import (
    NOT_HARMFUL,
    NOT_HARMFUL_TEXT,
    OTHER_LABEL,
    SHARES_LABEL,
    SPLITS,
    Row,
)
from components.multimodal_example_gen.sources.source import Source


@dataclasses.dataclass(frozen=True)
class Inconsistency:
    """How many rows get another row's text, and whose.

    | policy | whose text is replaced | by the text of |
    | --- | --- | --- |
    | `shares_label` | any row's | a row with at least one label in common (the paper's MM-IMDB) |
    | `not_harmful` | a harmful row's, somewhat or very | a row that is not harmful (the paper's HARM) |
    | `other_label` | any row's | a row of another class; for data with one label a row |

    Args:
        rate: float in [0, 1]. Share of the rows of each split that the policy is about and that have a donor.
        seed: int. Which rows, and which donors. Defaults to `0`.
        policy: str or None. See above. Defaults to None: the first of `Source.inconsistency_policies`.

    Raises:
        ValueError: for settings out of range.
    """

    rate: float
    seed: int = 0
    policy: str | None = None

    def __post_init__(self):
        if isinstance(self.rate, bool) or not isinstance(self.rate, int | float) or not 0 <= self.rate <= 1:
            raise ValueError(f"`rate` of the inconsistency must be a number from 0 to 1. Received: {self.rate!r}.")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise ValueError(f"`seed` of the inconsistency must be an integer. Received: {self.seed!r}.")

    def policy_for(self, source: Source) -> str:
        """Returns the policy that a source's texts are replaced by.

        Raises:
            ValueError: when the source has no texts, or its rows are not such as the policy is about.
        """
        known = source.inconsistency_policies
        if not known:
            raise ValueError(
                f"`inconsistency` replaces texts, and the source {source.name!r} has the modalities "
                f"{source.modalities}. Leave it out, or take a source with texts."
            )
        if self.policy is not None and self.policy not in known:
            kind = "several labels" if source.multi_label else "one label"
            raise ValueError(
                f"`policy` of the inconsistency must be one of {known} for the source {source.name!r} ({kind} a row). "
                f"Received: {self.policy!r}."
            )
        return self.policy or known[0]


@dataclasses.dataclass(frozen=True)
class Replacement:
    """Which rows got whose text.

    Args:
        inconsistency: Inconsistency. With the policy filled in.
        originals: list of Row. As the source lists them.
        candidates: frozenset of str. Ids of the rows that the policy is about.
        eligible: frozenset of str. Of those, the ones that have a donor.
        donors: dict from id to id. The changed rows and the rows whose text they got.
    """

    inconsistency: Inconsistency
    originals: list[Row]
    candidates: frozenset[str]
    eligible: frozenset[str]
    donors: dict[str, str]

    def rows(self) -> list[Row]:
        """Returns the rows in the source's order, the changed ones with their donors' original texts and ids."""
        texts = {row.id: row.text for row in self.originals}
        return [
            dataclasses.replace(row, text=texts[self.donors[row.id]], text_donor=self.donors[row.id])
            if row.id in self.donors
            else row
            for row in self.originals
        ]

    def changed(self, left_out: Collection[str] = ()) -> dict[str, dict[str, str]]:
        """Returns donors by changed id by split.

        Args:
            left_out: ids of rows that were left out after all, because their pictures cannot be used.
        """
        changed: dict[str, dict[str, str]] = {split: {} for split in SPLITS}
        for row in sorted(self.originals, key=lambda row: row.id):
            if row.id in self.donors and row.id not in left_out:
                changed[row.split][row.id] = self.donors[row.id]
        return changed

    def report(self, classes: Sequence[str], left_out: Collection[str] = ()) -> dict[str, Any]:
        """Counts what was changed among the rows that are there in the end.

        Args:
            classes: names of the classes.
            left_out: see `changed`.

        Returns:
            dict with `rate`, `seed`, `policy`, and `splits`, which has for each split `rows`, `candidates`,
            `without_donor`, `eligible`, `changed`, `asked` (share), `reached` (share of the eligible rows, None where
            there is none), and `by_class`: for each class `rows`, `changed`, and the number of texts that were written
            for a row of this class, `texts_before` and `texts_after`.
        """
        labels = {row.id: row.labels for row in self.originals}
        splits = {}
        for split in SPLITS:
            rows = [row for row in self.originals if row.split == split and row.id not in left_out]
            changed = [row for row in rows if row.id in self.donors]
            num_candidates, num_eligible = (
                sum(row.id in ids for row in rows) for ids in (self.candidates, self.eligible)
            )
            before, of_changed = (Counter(label for row in some for label in row.labels) for some in (rows, changed))
            after = Counter(label for row in rows for label in labels[self.donors.get(row.id, row.id)])
            splits[split] = {
                "rows": len(rows),
                "candidates": num_candidates,
                "without_donor": num_candidates - num_eligible,
                "eligible": num_eligible,
                "changed": len(changed),
                "asked": self.inconsistency.rate,
                "reached": len(changed) / num_eligible if num_eligible else None,
                "by_class": {
                    name: {
                        "rows": before[name],
                        "changed": of_changed[name],
                        "texts_before": before[name],
                        "texts_after": after[name],
                    }
                    for name in classes
                },
            }
        return {**dataclasses.asdict(self.inconsistency), "splits": splits}


def choose_replacements(rows: list[Row], inconsistency: Inconsistency, policy: str) -> Replacement:
    """Chooses whose texts are replaced, and by whose; every split by itself.

    A row's donor is another row of the same split that fits the policy and has another text (apart from case and
    blanks): the first that fits, from a place on that a hash of seed and id draws. A row without one is not eligible.
    Of the eligible rows of a split, n in number, the `round(rate * n)` with the smallest hashes of seed and id are
    changed. So a row has the same donor at every rate, and what a rate changes, every higher rate changes too.

    Args:
        rows: list of Row.
        inconsistency: Inconsistency.
        policy: str. From `Inconsistency.policy_for`.

    Returns:
        Replacement.
    """
    seed = inconsistency.seed
    candidates: set[str] = set()
    eligible: set[str] = set()
    chosen: dict[str, str] = {}
    for split in SPLITS:
        in_split = [row for row in rows if row.split == split]
        texts = _Texts(in_split, seed)
        of_split = [row for row in in_split if policy != NOT_HARMFUL_TEXT or NOT_HARMFUL not in row.labels]
        donors = {row.id: donor for row in of_split if (donor := texts.donor_of(row, policy))}
        candidates.update(row.id for row in of_split)
        eligible.update(donors)
        first = sorted(donors, key=lambda row_id: _hash(seed, "changed", row_id))
        chosen.update({row_id: donors[row_id] for row_id in first[: round(inconsistency.rate * len(donors))]})
    return Replacement(
        inconsistency=dataclasses.replace(inconsistency, policy=policy),
        originals=rows,
        candidates=frozenset(candidates),
        eligible=frozenset(eligible),
        donors=chosen,
    )


class _Texts:
    """The texts of a split in one list: those of a label side by side, each text once a label, in a hashed order.

    Once, so that the search for another text is short however often one repeats.
    """

    def __init__(self, rows: Iterable[Row], seed: int):
        self._seed = seed
        by_label: dict[str, dict[str, str]] = defaultdict(dict)
        for row in sorted(rows, key=lambda row: _hash(seed, "text", row.id)):
            for label in row.labels:
                by_label[label].setdefault(comparable_text(row.text), row.id)
        # (text, id of its row)
        self._entries: list[tuple[str, str]] = []
        self._range_of: dict[str, range] = {}
        for label in sorted(by_label):
            start = len(self._entries)
            self._entries.extend(by_label[label].items())
            self._range_of[label] = range(start, len(self._entries))

    def donor_of(self, row: Row, policy: str) -> str | None:
        """Returns the id of the row whose text replaces this row's; None where no row fits."""
        own = comparable_text(row.text)
        for place in _from(_hash(self._seed, "donor", row.id), self._ranges(row, policy)):
            text, row_id = self._entries[place]
            # Another text is another row's.
            if text != own:
                return row_id
        return None

    def _ranges(self, row: Row, policy: str) -> list[range]:
        """Places of the texts that fit a row, its own perhaps among them."""
        if policy == NOT_HARMFUL_TEXT:
            return [self._range_of.get(NOT_HARMFUL, range(0))]
        ranges = [self._range_of[label] for label in sorted(row.labels)]
        if policy == SHARES_LABEL:
            return ranges
        if policy == OTHER_LABEL:
            (own,) = ranges
            return [range(own.start), range(own.stop, len(self._entries))]
        raise ValueError(f"There is no policy {policy!r} of replacing texts.")


def _from(number: int, ranges: list[range]) -> Iterator[int]:
    """Goes once round all places of some ranges, from the place on that a number draws."""
    total = sum(map(len, ranges))
    for step in range(total):
        offset = (number + step) % total
        for one in ranges:
            if offset < len(one):
                yield one[offset]
                break
            offset -= len(one)


def _hash(seed: int, use: str, row_id: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{use}:{row_id}".encode()).digest(), "big")
