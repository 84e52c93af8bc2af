"""How the stand-in fails when a test tells it to: in order, or at random with a seed.

Every call that arrives is looked at once. What each kind means:

========  ==========================================================================================
cut       the connection is reset; nothing was done
hang      no answer comes, and nothing is done, until the test says so or the given seconds are over
502       a proxy answers in HTML; nothing was done
drop      the call is done and committed; the answer never comes
expire    all sessions end before the call is looked at
slow      the call is done, but begins the given seconds later
rights    during this call nobody may do anything, root neither: searches find nothing, writes are refused
========  ==========================================================================================

That the server refuses connections is no matter of a call: see `IcatServer.refuse`.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

KINDS = ("cut", "hang", "502", "drop", "expire", "slow", "rights")
#: What a client asks once, when it starts: nothing of it fails at random unless that is asked for.
START_UP = frozenset({"wsdl", "xsd", "getApiVersion", "getVersion", "getEntityNames", "getEntityInfo"})
#: Nobody waits longer than this.
LONGEST_S = 600.0
SLOW_S = 0.5


@dataclass
class Order:
    """One way to fail: for these operations (none named: for all), so many times (None: until told otherwise)."""

    kind: str
    operations: frozenset[str]
    times: int | None
    seconds: float


@dataclass(frozen=True)
class Chances:
    """Failing at random: how likely each kind is for each call, and for which operations (none named: see START_UP)."""

    draws: random.Random
    of: Mapping[str, float]
    operations: frozenset[str]
    seconds: float

    def concerns(self, operation: str) -> bool:
        """Whether an operation may fail."""
        return operation in self.operations if self.operations else operation not in START_UP


def _known(kinds: Iterable[str]) -> None:
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is no kind of misbehaviour; there are {', '.join(KINDS)}")


class Misbehaviour:
    """What a test has ordered; safe to change while calls come in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders: list[Order] = []
        self._chances: Chances | None = None
        self._released = threading.Event()
        #: How often each kind has happened.
        self.done: Counter[str] = Counter()

    def order(
        self, kind: str, times: int | None = None, operations: Iterable[str] = (), seconds: float | None = None
    ) -> None:
        """Fail so from now on: orders are looked at in turn, the first that concerns a call is used.

        Raises
        ------
        ValueError
            There is no such kind.
        """
        _known([kind])
        wait = seconds if seconds is not None else (LONGEST_S if kind == "hang" else SLOW_S)
        with self._lock:
            self._orders.append(Order(kind, frozenset(operations), times, wait))

    def at_random(
        self, seed: int, chances: Mapping[str, float], operations: Iterable[str] = (), seconds: float = SLOW_S
    ) -> None:
        """Fail at random from now on; ``chances`` has the probability of each kind, together at most 1.

        Raises
        ------
        ValueError
            There is no such kind, or the probabilities are none.
        """
        _known(chances)
        if min(chances.values(), default=0) < 0 or sum(chances.values()) > 1:
            raise ValueError(f"these are no probabilities of one event: {dict(chances)}")
        with self._lock:
            # The order of kinds must not decide what a seed means.
            ordered = {kind: chances[kind] for kind in KINDS if kind in chances}
            self._chances = Chances(random.Random(seed), ordered, frozenset(operations), seconds)

    def behave(self) -> None:
        """Be well again: forget all orders, and let go of the calls that wait."""
        with self._lock:
            self._orders.clear()
            self._chances = None
            self._released.set()
            self._released = threading.Event()

    def next(self, operation: str) -> Order | None:
        """Say how the call that has just come in is to fail, if at all."""
        with self._lock:
            order = self._ordered(operation) or self._drawn(operation)
            if order:
                self.done[order.kind] += 1
            return order

    def _ordered(self, operation: str) -> Order | None:
        for order in self._orders:
            if not order.operations or operation in order.operations:
                if order.times is not None:
                    order.times -= 1
                    if order.times <= 0:
                        self._orders.remove(order)
                return order
        return None

    def _drawn(self, operation: str) -> Order | None:
        chances = self._chances
        if chances is None or not chances.concerns(operation):
            return None
        drawn = chances.draws.random()
        for kind, chance in chances.of.items():
            if drawn < chance:
                return Order(kind, frozenset(), 1, chances.seconds)
            drawn -= chance
        return None

    def wait(self, seconds: float) -> None:
        """Wait, unless `behave` comes first."""
        with self._lock:
            released = self._released
        released.wait(min(seconds, LONGEST_S))

    def told(self) -> dict[str, object]:
        """Say what is ordered and what has happened, for the control page."""
        with self._lock:
            orders = [{"kind": o.kind, "operations": sorted(o.operations), "times": o.times} for o in self._orders]
            return {
                "orders": orders,
                "at_random": dict(self._chances.of) if self._chances else {},
                "done": dict(self.done),
            }
