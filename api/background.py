"""Slow work on stores, beside the loop that must always answer."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..stream.clock import monotonic_s

Result = TypeVar("Result")


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """What became of a piece of work.

    Attributes
    ----------
    key : str
        What it was for.
    result : object or None
        What it gave.
    error : Exception or None
        What it raised.
    seconds : float
        How long it took.
    """

    key: str
    result: Result | None
    error: Exception | None
    seconds: float


class Background(Generic[Result]):
    """One thread that does one piece of work after another; at most one for each key is asked for at a time.

    Parameters
    ----------
    name : str
        Of the thread.
    wake : callable
        Called from the thread when there is something to take.
    """

    def __init__(self, name: str, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._asked: queue.SimpleQueue[tuple[str, Callable[[], Result]] | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Outcome[Result]] = queue.SimpleQueue()
        self._busy: set[str] = set()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def __contains__(self, key: object) -> bool:
        """Tell whether work for a key is asked for and its outcome not yet taken."""
        return key in self._busy

    def __len__(self) -> int:
        """Count the work that is asked for and not yet taken."""
        return len(self._busy)

    def ask(self, key: str, work: Callable[[], Result]) -> None:
        """Have something done; ``key`` must not be busy."""
        if key in self._busy:
            raise ValueError(f"work for {key} is under way")
        self._busy.add(key)
        self._asked.put((key, work))

    def take(self) -> list[Outcome[Result]]:
        """Give what is done since the last call."""
        outcomes: list[Outcome[Result]] = []
        while not self._done.empty():
            outcomes.append(self._done.get())
            self._busy.discard(outcomes[-1].key)
        return outcomes

    def close(self, seconds: float) -> None:
        """Let the work that is asked for end, at most so long; what is not over by then ends with the process."""
        self._asked.put(None)
        self._thread.join(seconds)

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None:
            key, work = asked
            began = monotonic_s()
            result, failure = None, None
            try:
                result = work()
            except Exception as error:  # noqa: BLE001 - whoever asked decides what it means
                failure = error
            self._done.put(Outcome(key, result, failure, monotonic_s() - began))
            self._wake()
