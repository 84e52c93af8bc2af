"""The stores of the open runs: shown as they grow and sealed at the end, beside the loop that must always answer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from ..kernels.reduction import Reduction
from ..sinks.commits import intact_commits
from ..sinks.keeper import StoreKeeper
from ..sinks.runfile import run_file
from ..stream.errors import StoreError
from ..stream.ledger import Ledger
from ..stream.model import Loss
from ..stream.ranges import Ranges
from .background import Background
from .deriving import Deriving
from .head_need import HeadNeed, head_need
from .run_account import sustained_hz

#: Pause before a store that cannot be sealed or shown is tried again, seconds.
AGAIN_S = 2.0
#: A store that is not there for so long has been removed; network disks may lose sight of one for a moment.
REMOVED_S = 5.0


log = structlog.get_logger()


@dataclass(frozen=True)
class Sealed:
    """A run whose store is finished.

    Attributes
    ----------
    run : str
    ledger : Ledger
    rate_hz : float or None
        Mean rate of the stored frames.
    """

    run: str
    ledger: Ledger
    rate_hz: float | None


@dataclass(frozen=True)
class Unsealable:
    """A run whose store cannot be finished for a reason that time does not heal."""

    run: str
    why: str


@dataclass(frozen=True)
class Delayed:
    """A run whose store cannot be finished at present; that is tried again."""

    run: str
    why: str


@dataclass(frozen=True)
class Shown:
    """A run that was to be shown.

    Attributes
    ----------
    run : str
    seconds : float
        How long that took.
    frames : int
        That readers see now, or will once all before them are there; 0 where only derived products grew.
    trouble : str
        Why readers do not see more, where they do not; it is tried again.
    following : str
        Why the series of its recipe do not follow it at present; its frames do not wait for them.
    """

    run: str
    seconds: float
    frames: int
    trouble: str
    following: str


@dataclass(frozen=True)
class TakenUp:
    """What the commit records of a store say.

    Attributes
    ----------
    blocks, frames : Ranges
        That are durable.
    raw_bytes, stored_bytes : int
        Of them.
    """

    blocks: Ranges
    frames: Ranges
    raw_bytes: int
    stored_bytes: int


def taken_up(keeper: StoreKeeper) -> TakenUp:
    """Add up the commit records of a store, one at a time: a long run has more than fit in memory."""
    raw_bytes = stored_bytes = 0
    blocks: list[tuple[int, int]] = []
    frames: list[tuple[int, int]] = []
    for commit in intact_commits(Path(keeper.run.store)):
        raw_bytes += commit.raw_bytes
        stored_bytes += commit.stored_bytes
        blocks.append((commit.block, commit.block))
        frames += Ranges.of(f.number for f in commit.frames).spans
    return TakenUp(Ranges.join(blocks), Ranges.join(frames), raw_bytes, stored_bytes)


class Keeping:
    """Keeps the stores of the open runs; every call returns at once.

    One thread shows what is durable, one follows it for the series of the recipes, another seals, one run at a time; no
    store is in the hands of two that could disturb each other.

    Parameters
    ----------
    wake : callable
        Called from the threads when there is something to take.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._keepers: dict[str, StoreKeeper] = {}
        self._needs: dict[str, HeadNeed] = {}
        self._shown: dict[str, Ranges] = {}
        self._to_show: dict[str, float] = {}
        self._to_seal: dict[str, float] = {}
        self._missing: dict[str, float] = {}
        self._losses: dict[str, tuple[Loss, ...]] = {}
        self._showing: Background[Ranges] = Background("publish", wake)
        self._sealing: Background[Sealed] = Background("seal", wake)
        self._deriving = Deriving(wake)

    def add(self, keeper: StoreKeeper, reduction: Reduction) -> None:
        """Keep one more store, and follow it for the series of its recipe; what the keeper has counted is not new."""
        self._keepers[keeper.run.id] = keeper
        self._needs[keeper.run.id] = head_need(keeper.run.plan, reduction)
        self._shown[keeper.run.id] = keeper.counted
        self._deriving.add(keeper.run.id, Path(keeper.run.store), reduction)

    @property
    def needs(self) -> Collection[HeadNeed]:
        """What the open runs take of the head."""
        return self._needs.values()

    def show(self, run: str) -> None:
        """Have what is durable shown to readers soon, and followed."""
        if run in self._keepers:
            self._to_show.setdefault(run, 0.0)
            self._deriving.look(run)

    def seal(self, run: str, losses: tuple[Loss, ...]) -> None:
        """Have a store finished soon; ``losses`` is what is known of frames that are not stored."""
        self._losses[run] = losses
        self._to_seal[run] = 0.0
        self._to_show.pop(run, None)

    def seal_again(self, run: str, now: float) -> None:
        """Have a store finished once more, after a while."""
        self._to_seal[run] = now + AGAIN_S

    def forget(self, run: str) -> None:
        """Keep a store no longer."""
        for of_runs in (
            self._keepers,
            self._needs,
            self._shown,
            self._to_show,
            self._to_seal,
            self._losses,
            self._missing,
        ):
            of_runs.pop(run, None)
        self._deriving.forget(run)

    def turn(self, now: float, committed: Mapping[str, Ranges]) -> None:
        """Hand out the work that is due.

        Parameters
        ----------
        now : float
            Monotonic seconds.
        committed : mapping
            Durable blocks of the runs that are not being sealed.
        """
        for run in [r for r, due in self._to_show.items() if now >= due and r not in self._showing]:
            del self._to_show[run]
            if run in committed:
                fresh = committed[run] - self._shown[run]
                self._showing.ask(run, partial(_show, self._keepers[run], fresh))
        self._deriving.turn(now, {run: blocks for run, blocks in committed.items() if run not in self._to_seal})
        for run in [r for r, due in self._to_seal.items() if now >= due and not self._is_busy(r)]:
            del self._to_seal[run]
            self._sealing.ask(run, partial(_seal, self._keepers[run], self._losses[run], self._deriving))

    def removed(self, now: float) -> list[str]:
        """Give the runs whose store has not been there for a while: somebody removed it."""
        gone: list[str] = []
        for run, keeper in self._keepers.items():
            if is_there(run_file(Path(keeper.run.store))):
                self._missing.pop(run, None)
            elif now - self._missing.setdefault(run, now) > REMOVED_S:
                gone.append(run)
        return gone

    def take_shown(self, now: float) -> Iterator[Shown]:
        """Give the runs of which readers see more now, or cannot at present."""
        for outcome in self._showing.take():
            run, error = outcome.key, outcome.error
            if run not in self._keepers:
                continue
            if error is not None and not isinstance(error, StoreError):
                raise error
            frames = 0
            if outcome.result is not None:
                self._shown[run] |= outcome.result
                blocks = self._keepers[run].run.plan.blocks
                frames = sum(blocks[n].count for n in outcome.result)
            else:
                log.warning("run cannot be published yet", run=run, why=str(error))
                if run not in self._to_seal:
                    self._to_show[run] = now + AGAIN_S
            yield Shown(run, outcome.seconds, frames, str(error or ""), self._deriving.trouble(run))

    def take_derived(self, now: float) -> None:
        """Take what was followed: readers are to see it."""
        for run in self._deriving.take(now):
            if run not in self._to_seal:
                self._to_show.setdefault(run, 0.0)

    def take_sealed(self, now: float) -> Iterator[Sealed | Unsealable | Delayed]:
        """Give the runs that are finished; while the disk refuses, a run stays open and sealing is tried again."""
        for outcome in self._sealing.take():
            if outcome.key not in self._keepers:
                continue
            if isinstance(outcome.error, StoreError):
                log.warning("run cannot be sealed yet", run=outcome.key, why=str(outcome.error))
                self.seal_again(outcome.key, now)
                yield Delayed(outcome.key, str(outcome.error))
                continue
            if outcome.result is None:  # one run must not take the others down, now and at every restart
                yield Unsealable(outcome.key, repr(outcome.error))
            else:
                yield outcome.result

    def close(self, seconds: float) -> None:
        """Let what is under way end, at most so long; a seal that does not is begun anew after the next start."""
        for beside in (self._showing, self._deriving, self._sealing):
            beside.close(seconds / 3)

    def _is_busy(self, run: str) -> bool:
        return run in self._showing or run in self._deriving


def is_there(file: Path) -> bool:
    """Tell whether a file is there; a disk that does not answer has not lost it."""
    try:
        return file.exists()
    except OSError:
        return True


def _show(keeper: StoreKeeper, blocks: Ranges) -> Ranges:
    keeper.publish(blocks)
    return blocks


def _seal(keeper: StoreKeeper, losses: tuple[Loss, ...], deriving: Deriving) -> Sealed:
    keeper.close()  # or a late worker could commit a block that nothing follows any more
    ledger = keeper.seal(losses, deriving.finish(keeper))
    return Sealed(keeper.run.id, ledger, sustained_hz(intact_commits(Path(keeper.run.store))))
