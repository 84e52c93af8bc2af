"""A network in one process that loses, repeats, delays and reorders, and from which parties can be cut off."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Chances:
    """How often what happens to a message.

    Attributes
    ----------
    lost, doubled, late : float
        Shares of the messages; a late one takes up to a second, so that hundreds of others overtake it.
    corrupt : float
        Share of the frames whose pixels change on the way.
    """

    lost: float = 0.0
    doubled: float = 0.0
    late: float = 0.0
    corrupt: float = 0.0


CALM = Chances()
ROUGH = Chances(lost=0.02, doubled=0.02, late=0.25, corrupt=0.005)


@dataclass(frozen=True)
class Delivery:
    """Something on its way.

    Attributes
    ----------
    source, target : str
        Parties, by name. A write to a disk goes from a party to itself and is neither lost nor doubled.
    content : tuple
        What the world does with it: its kind, then what belongs to it.
    """

    source: str
    target: str
    content: tuple[Any, ...]

    @property
    def lossy(self) -> bool:
        """Whether it can be lost or come twice."""
        return self.source != self.target


@dataclass
class Network:
    """What is on its way, by the time at which it arrives.

    Attributes
    ----------
    rng : random.Random
        Where chance comes from.
    chances : Chances
        How often what happens.
    cut : set of str
        Parties that nobody reaches. What is sent to them meanwhile is lost, or comes when they are back.
    held : set of str
        Parties that stand still: nothing reaches them, and nothing is lost.
    """

    rng: random.Random
    chances: Chances = CALM
    cut: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    _queue: list[tuple[float, int, Delivery]] = field(default_factory=list)
    _sent: int = 0

    def send(self, now: float, delivery: Delivery) -> None:
        """Put on its way: once, late, twice or never."""
        times, delay = 1, self.rng.uniform(0.0, 0.02)
        if delivery.lossy:
            luck = self.rng.random()
            times = 0 if luck < self.chances.lost else 2 if luck > 1 - self.chances.doubled else 1
        if self.rng.random() < self.chances.late:
            delay = self.rng.uniform(0.0, 1.0)
        for _ in range(times):
            self._put(now + delay * self.rng.uniform(1.0, 1.1), delivery)

    def _put(self, at: float, delivery: Delivery) -> None:
        self._sent += 1
        heapq.heappush(self._queue, (at, self._sent, delivery))

    def due(self, now: float) -> Iterator[Delivery]:
        """Take what arrives until now."""
        while self._queue and self._queue[0][0] <= now:
            delivery = heapq.heappop(self._queue)[2]
            ends = {delivery.source, delivery.target}
            if ends & self.held:
                self._put(now + 0.1, delivery)
            elif not (delivery.lossy and ends & self.cut):
                yield delivery
            elif self.rng.random() < 0.5:
                self._put(now + self.rng.uniform(0.1, 1.0), delivery)

    # --- meddling with what is on its way ---

    def lose_everything(self) -> None:
        """Lose every message that is on its way."""
        self._queue = [entry for entry in self._queue if not entry[2].lossy]
        heapq.heapify(self._queue)

    @property
    def under_way(self) -> list[Delivery]:
        """Messages on their way, in the order in which they arrive."""
        return [delivery for _, _, delivery in sorted(self._queue) if delivery.lossy]

    def lose(self, delivery: Delivery) -> None:
        """Lose one message."""
        self._queue = [entry for entry in self._queue if entry[2] is not delivery]
        heapq.heapify(self._queue)

    def repeat(self, delivery: Delivery, at: float) -> None:
        """Have one message come once more."""
        self._put(at, delivery)
