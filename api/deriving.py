"""The series of the open runs, followed beside the loop that must always answer; no frame ever waits for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from ..kernels.reduction import Reduction
from ..sinks.keeper import StoreKeeper
from ..stream.clock import monotonic_s
from ..stream.errors import StoreError
from ..stream.ranges import Ranges
from ..stream.tables import Derived, Rows
from .background import Background
from .following import RunFollower
from .last_tables import last_tables

#: Pause before images that cannot be read, or results that cannot be written, are tried again, seconds.
AGAIN_S = 2.0
#: One run is followed for so long at a time, seconds; then it is the next one's turn.
TURN_S = 0.5

log = structlog.get_logger()


@dataclass
class _Followed:
    """A run, and what follows it: made in the threads that use it, for that may take long, and may fail.

    What failed once is not asked again: nobody knows what it has taken.
    """

    store: Path
    reduction: Reduction
    follower: RunFollower | None = None
    broken: Exception | None = None

    def advance(self, committed: Ranges, going_on: Callable[[], bool]) -> bool:
        with self._going() as follower:
            return follower.advance(committed, going_on)

    def finish(self, committed: Ranges) -> Mapping[str, Rows]:
        with self._going() as follower:
            return follower.finish(committed)

    @contextmanager
    def _going(self) -> Iterator[RunFollower]:
        if self.broken is not None:
            raise self.broken
        try:
            if self.follower is None:
                self.follower = RunFollower(self.store, self.reduction)
            yield self.follower
        except StoreError:
            raise
        except Exception as error:
            self.broken = error
            raise


class Deriving:
    """Follows the open runs whose recipes have series; every call returns at once.

    Parameters
    ----------
    wake : callable
        Called from the thread when there is something to take.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._runs: dict[str, _Followed] = {}
        self._due: dict[str, float] = {}
        self._troubles: dict[str, str] = {}
        self._stopping = False
        self._background: Background[bool] = Background("derive", wake)

    def add(self, run: str, store: Path, reduction: Reduction) -> None:
        """Follow one more run, if its recipe has series; remember what to do at its end."""
        self._runs[run] = _Followed(store, reduction)
        self.look(run)

    def look(self, run: str) -> None:
        """Have a run followed further soon: more of it is committed."""
        if self._runs[run].reduction.series and not self._runs[run].broken:
            self._due.setdefault(run, 0.0)

    def turn(self, now: float, committed: Mapping[str, Ranges]) -> None:
        """Hand out the work that is due; ``now`` in monotonic seconds, ``committed`` the durable blocks by run."""
        for run in [r for r, due in self._due.items() if now >= due and r not in self._background and r in committed]:
            del self._due[run]
            self._background.ask(run, partial(self._advance, self._runs[run], committed[run]))

    def take(self, now: float) -> Iterator[str]:
        """Give the runs that were followed; a series that fails is left alone, its run goes on without it."""
        for outcome in self._background.take():
            run, error = outcome.key, outcome.error
            if run not in self._runs:
                continue
            self._troubles[run] = "" if error is None else str(error)
            if isinstance(error, StoreError):
                self._due[run] = now + AGAIN_S
            elif error is not None:
                self._give_up(run, error)
            elif outcome.result:
                self._due.setdefault(run, now)
            yield run

    def __contains__(self, run: object) -> bool:
        """Tell whether a run is being followed at this moment: then nobody else may touch its follower."""
        return run in self._background

    def finish(self, keeper: StoreKeeper) -> Derived:
        """Follow a run to its end, in the thread that seals it.

        Parameters
        ----------
        keeper : StoreKeeper
            Of the run; no block of it will be committed any more.

        Returns
        -------
        mapping
            Rows of the tables that are known only now; None for those that a step failed to make.

        Raises
        ------
        StoreError
            The same call may be repeated.
        """
        followed = self._runs[keeper.run.id]
        return last_tables(keeper, followed.reduction, followed.finish)

    def trouble(self, run: str) -> str:
        """Say why a run is not followed further at present; empty where nothing is wrong."""
        return self._troubles.get(run, "")

    def forget(self, run: str) -> None:
        """Follow a run no longer."""
        for of_runs in (self._runs, self._due, self._troubles):
            of_runs.pop(run, None)

    def close(self, seconds: float) -> None:
        """Let what is under way end, at most so long."""
        self._stopping = True
        self._background.close(seconds)

    def _give_up(self, run: str, error: Exception) -> None:
        self._troubles[run] = f"its series failed, it is recorded without them: {error!r}"
        log.error("the series of a run failed", run=run, why=repr(error))

    def _advance(self, followed: _Followed, committed: Ranges) -> bool:
        until = monotonic_s() + TURN_S
        return followed.advance(committed, lambda: not self._stopping and monotonic_s() < until)
