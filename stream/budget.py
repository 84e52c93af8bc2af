"""What the runs of a worker may hold in memory, in bytes: who has how much, and what still fits. Accounting only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes that a run takes of a worker.

    Attributes
    ----------
    fixed : int
        As long as the run is open: calibration maps, open arrays, its writing thread.
    slot : int
        The products of one block.
    write : int
        What encoding a block takes on top of its slot, for a moment; one block of a run is written at a time.
    """

    fixed: int = 0
    slot: int = 0
    write: int = 0


@dataclass(slots=True)
class _Share:
    need: Need
    frame: int
    window: int
    slots: int = 0

    @property
    def held(self) -> int:
        writing = self.need.write if self.slots else 0
        return self.need.fixed + self.window + self.slots * self.need.slot + writing

    @property
    def standing(self) -> int:
        """What the run keeps when everything is taken from it that can be."""
        return self.need.fixed + self.frame

    @property
    def least(self) -> int:
        """What it takes on top of that to get on: a slot, its writing, a second frame on its way."""
        return self.need.slot + self.need.write + self.frame


class Budget:
    """Bytes held by the runs of one worker, never more than there are.

    Every open run keeps its fixed part and one frame on its way, so that its agent can always show that it has
    something to send. What it takes to get on with one run at a time is kept free of that: whatever the others hold can
    be had back, so no two runs can wait for each other.

    Parameters
    ----------
    total : int
        Bytes for all runs together.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._shares: dict[str, _Share] = {}

    @property
    def used(self) -> int:
        """Bytes held, and one frame of the largest kind: the one that is being reduced."""
        shares = self._shares.values()
        return sum(s.held for s in shares) + max((s.frame for s in shares), default=0)

    @property
    def free(self) -> int:
        """Bytes that nobody holds."""
        return self.total - self.used

    @property
    def fleeting(self) -> int:
        """Bytes of that which come and go: frames on their way, and blocks that are encoded."""
        return sum(s.window + (s.need.write if s.slots else 0) for s in self._shares.values())

    @staticmethod
    def least(need: Need, frame: int) -> int:
        """Give the smallest budget with which a run can get on, if it is the only one."""
        share = _Share(need, frame, frame)
        return share.standing + share.least + frame

    def has_room(self, need: Need, frame: int) -> bool:
        """Tell whether one more run may be opened: with it every run can still get on, one at a time."""
        shares = [*self._shares.values(), _Share(need, frame, frame)]
        largest = max(s.frame for s in shares)
        return sum(s.standing for s in shares) + max(s.least for s in shares) + largest <= self.total

    def has_now(self, need: Need, frame: int) -> bool:
        """Tell whether what one more run keeps for itself is free at present."""
        largest = max((s.frame for s in self._shares.values()), default=0)
        return need.fixed + frame + max(0, frame - largest) <= self.free

    def open(self, run: str, need: Need, frame: int) -> None:
        """Count a run in; ``frame`` is what one of its frames costs on its way."""
        self._shares[run] = _Share(need, frame, frame)

    def close(self, run: str) -> None:
        """Count a run out, with all that it held."""
        self._shares.pop(run, None)

    def need(self, run: str) -> Need:
        """Give what a run takes."""
        return self._shares[run].need

    def slots(self, run: str) -> int:
        """Count the slots of a run."""
        return self._shares[run].slots

    @property
    def all_slots(self) -> int:
        """Count the slots of all runs."""
        return sum(s.slots for s in self._shares.values())

    def take_slot(self, run: str, spare: int = 0) -> bool:
        """Give a run one more slot, if it fits and so many bytes stay free."""
        share = self._shares[run]
        if share.need.slot + (0 if share.slots else share.need.write) + spare > self.free:
            return False
        share.slots += 1
        return True

    def drop_slot(self, run: str) -> None:
        """Take a slot back."""
        self._shares[run].slots -= 1

    def widen(self, run: str, held: int, wanted: int, spare: int = 0) -> int:
        """Let a run have more bytes on their way.

        Parameters
        ----------
        run : str
            Which.
        held : int
            What is on its way or waits here at present.
        wanted : int
            What it may be.
        spare : int
            Bytes that must stay free, whoever wants more.

        Returns
        -------
        int
            By how many bytes more frames may come, whole frames; one frame is always allowed.
        """
        share = self._shares[run]
        share.window = max(share.frame, held)
        fits = max(0, self.free - spare) + share.window
        frames = max(1, min(wanted, fits) // share.frame)
        more = max(0, frames * share.frame - held)
        share.window = max(share.window, held + more)
        return more
