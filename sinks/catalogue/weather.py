"""When to try again: decisions without I/O."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

#: First and longest pause after failures of the server, seconds.
FIRST_S, LONGEST_S = 0.5, 300.0
#: Longest pause of one entry that the server keeps refusing, seconds.
LONGEST_ENTRY_S = 3600.0


def pause_s(failures: int, longest_s: float, chance: random.Random) -> float:
    """Give how long to wait after so many failures in a row: twice as long each time, half of it by chance.

    Chance keeps the services of a facility from returning all at once when ICAT does.
    """
    full = min(longest_s, FIRST_S * 2.0 ** min(failures - 1, 32))
    return full * (0.5 + 0.5 * chance.random())


@dataclass
class Weather:
    """Whether the server can be asked at present.

    While it does not answer, one entry at a time is tried after each pause, whichever is due: an entry that the server
    chokes on cannot hold the others up, and a day without a server costs some hundred tries, not some hundred an entry.

    Attributes
    ----------
    failures : int
        In a row, without an answer.
    until_s : float
        Monotonic time before when nothing is asked.
    """

    chance: random.Random = field(default_factory=random.Random)
    failures: int = 0
    until_s: float = 0.0

    def away(self, now_s: float) -> None:
        """Take note that the server did not answer."""
        self.failures += 1
        self.until_s = now_s + pause_s(self.failures, LONGEST_S, self.chance)

    def answered(self) -> None:
        """Take note that it did, whatever it said."""
        self.failures, self.until_s = 0, 0.0
