"""Whose data are handed over next, and when: decisions without I/O."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from .failures import Failure, judge
from .weather import LONGEST_ENTRY_S, Weather, pause_s


@dataclass
class OwnerQueue:
    """The runs that wait, oldest first; one that could not be asked about goes behind the others.

    Attributes
    ----------
    chance : random.Random
        Of the pauses.
    """

    chance: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        self._weather = Weather(self.chance)
        self._due_s: dict[str, float] = {}  # ids and numbers alone: as many as there are runs, at most
        self._tries = Counter[str]()

    def __contains__(self, run: str) -> bool:
        """Whether a run waits."""
        return run in self._due_s

    def load(self, runs: Iterable[str]) -> None:
        """Let runs wait that an earlier life did not come to."""
        self._due_s.update(dict.fromkeys(runs, 0.0))

    def ask(self, run: str) -> None:
        """Let a run wait that ICAT has been told of just now: it is there, then, whatever it was before."""
        self._due_s[run] = 0.0
        del self._tries[run]
        self._weather.answered()

    def take(self, now_s: float) -> str | None:
        """Take the first run that is due; None where none is, or where ICAT is not to be asked yet."""
        if self._weather.until_s > now_s:
            return None
        run = next((run for run, due_s in self._due_s.items() if due_s <= now_s), None)
        if run is not None:
            del self._due_s[run]
        return run

    def wait_s(self, now_s: float) -> float | None:
        """Give after how long `take` may give a run, seconds; None where none waits."""
        if not self._due_s:
            return None
        return max(self._weather.until_s, min(self._due_s.values())) - now_s

    def done(self, run: str) -> None:
        """Take note that ICAT has answered, and that the command of a run has gone as it went."""
        self._weather.answered()
        del self._tries[run]

    def failed(self, run: str, error: Exception, now_s: float) -> Failure:
        """Judge why the command of a run was not run; unless a person must see to it the run waits again."""
        failure = judge(error, self._tries[run] + 1)
        if failure.kind == "park":
            self.done(run)
            return failure
        pause = 0.0
        if failure.kind == "again":
            self._weather.answered()
            self._tries[run] += 1
            pause = pause_s(self._tries[run], LONGEST_ENTRY_S, self.chance)
        else:
            self._weather.away(now_s)
        self._due_s[run] = now_s + pause
        return failure
