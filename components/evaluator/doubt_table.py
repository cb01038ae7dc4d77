"""Decisions by their doubt, summed in bounded memory."""

import dataclasses

import numpy as np

from hfmnas_keras.evidence.risk_coverage import RiskCoverage, risk_coverage

# Different doubts that are told apart: test splits of up to as many decisions are measured exactly.
LARGEST_TABLE = 1 << 14
# Decisions that may wait to be sorted in.
_LARGEST_QUEUE = 1 << 12


@dataclasses.dataclass
class DoubtTable:
    """Counts decisions and errors by doubt, row by row, and merges with others.

    Up to `largest` different doubts are kept as they are. With more, all lose as many of the last bits of their
    mantissa as it takes, and decisions whose doubts become equal count as ties: of 16,384 doubts or more about three
    digits are left. How the rows were divided among tables that are merged makes no difference.

    Args:
        largest: int. Most different doubts.
    """

    largest: int = LARGEST_TABLE
    # Doubts are not negative, so their bit patterns as whole numbers have their order.
    bits: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    counts: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    errors: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    lost_bits: int = 0
    queue: list[tuple[np.ndarray, np.ndarray]] = dataclasses.field(default_factory=list)
    _queued: int = 0

    def add(self, doubts: np.ndarray, errors: np.ndarray) -> None:
        """Counts some decisions.

        Args:
            doubts: float array `(decisions,)`, finite; below 0, which is a rounding, counts as 0.
            errors: bool array `(decisions,)`.
        """
        # Plus 0.0: that of a negative zero is no positive number.
        self.queue.append((np.maximum(np.asarray(doubts, np.float64), 0.0) + 0.0, np.asarray(errors, bool)))
        self._queued += len(doubts)
        if self._queued >= _LARGEST_QUEUE:
            self._sort_in()

    def merge(self, other: "DoubtTable") -> None:
        """Counts the decisions of another table, which stays as it is."""
        self.queue.extend(other.queue)
        self._sort_in(other)

    def to_risk_coverage(self) -> RiskCoverage:
        """Returns the decisions in the order of their doubt.

        Raises:
            ValueError: when there are none.
        """
        self._sort_in()
        return risk_coverage(self.bits.view(np.float64), self.errors, self.counts)

    def _sort_in(self, other: "DoubtTable | None" = None) -> None:
        tables = [self] if other is None else [self, other]
        doubts = np.concatenate([np.zeros(0), *(doubts for doubts, _ in self.queue)])
        bits = np.concatenate([*(table.bits for table in tables), doubts.view(np.int64)])
        counts = np.concatenate([*(table.counts for table in tables), np.ones(len(doubts), np.int64)])
        errors = np.concatenate([*(table.errors for table in tables), *(errors for _, errors in self.queue)])
        self.queue, self._queued = [], 0
        self.lost_bits = max(table.lost_bits for table in tables)
        while True:
            self.bits, place = np.unique(bits >> self.lost_bits << self.lost_bits, return_inverse=True)
            if len(self.bits) <= self.largest:
                break
            self.lost_bits += 1
        self.counts, self.errors = (
            np.bincount(place.reshape(-1), numbers, len(self.bits)).astype(np.int64) for numbers in (counts, errors)
        )
