"""What a layer must know where a batch is divided over devices: what belongs to the whole of it."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator
from typing import Any


@dataclasses.dataclass(frozen=True)
class Replica:
    """One of the devices that compute a step together, each on its part of the batch.

    Args:
        index: int. From 0.
        share: float. Its rows as a share of the batch's.
        sum_over_replicas: function of a tensor, or a list of them, that returns the sum of what the replicas pass.
    """

    index: int
    share: float
    sum_over_replicas: Callable[[Any], Any]


class _Present(threading.local):
    # Every replica is traced in a thread of its own.
    replica: Replica | None = None


_PRESENT = _Present()


@contextlib.contextmanager
def computing_on(replica: Replica) -> Iterator[None]:
    """What is computed meanwhile, in this thread, is the replica's part of a step."""
    _PRESENT.replica = replica
    try:
        yield
    finally:
        _PRESENT.replica = None


def present_replica() -> Replica | None:
    """The replica whose part is being computed, `None` where one device has the whole batch."""
    return _PRESENT.replica


def sum_over_replicas(values: Any) -> Any:
    """The sum over the whole batch, of a tensor or a list of tensors that are sums over this replica's rows."""
    replica = _PRESENT.replica
    return values if replica is None else replica.sum_over_replicas(values)


def mean_over_replicas(value: Any) -> Any:
    """The mean over the whole batch, of a tensor that is a mean over this replica's rows."""
    return sum_over_replicas(own_part(value))


def own_part(value: Any) -> Any:
    """What this replica's mean adds to the mean over the whole batch: of these the replicas' sum is that mean."""
    replica = _PRESENT.replica
    return value if replica is None else value * replica.share
