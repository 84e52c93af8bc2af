"""How the runs of a worker share its memory: who gets a slot, who gives one up, who may have how much on its way.

A run that has nothing but its smallest part waits in a queue for its first slot. What makes room for it, in this order:
slots that hold nothing; runs of which nothing came for a while (their agents send what was dropped again); and, where
no slot is left that could become free by itself, what other waiting runs have parked. Second and third slots and wide
windows are given only while nobody waits, so every run in the queue has its turn after at most one block of each other.
"""

from __future__ import annotations

from collections.abc import Iterator

from . import messages as m
from .budget import Budget, Need
from .errors import MemoryRefusedError
from .worker_events import Action, Discard, DropParked, FreeSlot, ToAgent, Warm
from .worker_run import RunHere

#: A run of which nothing came for so long must make room for others, seconds.
IDLE_S = 3.0
#: Waiting is worth telling after so long, seconds.
PATIENCE_S = 1.0
#: However small the frames, no more than this many are under way.
WINDOW_FRAMES = 256


class Sharing:
    """Shares slots and windows between runs.

    Parameters
    ----------
    budget : Budget
        Says what fits.
    runs : dict
        The runs that are served, by id; kept by the owner.
    window_bytes : int
        Bytes that an agent may have under way, where there is memory for them.
    """

    def __init__(self, budget: Budget, runs: dict[str, RunHere], window_bytes: int) -> None:
        self.budget = budget
        self.window_bytes = window_bytes
        self.now = 0.0
        self.read = 0
        self._drained = 0.0
        self._drained_read = -1
        self._runs = runs
        self._queue: list[str] = []
        self._short = False

    # --- slots ---

    def empty(self, run: RunHere) -> int:
        """Count the slots of a run that hold no block."""
        return self.budget.slots(run.name) - len(run.blocks)

    def slot_for(self, run: RunHere) -> bool:
        """Tell whether a block of the run may begin; takes a slot where there is memory, else the run has to wait."""
        if self.empty(run) > 0:
            return True
        held = self.budget.slots(run.name)
        if held >= run.most_slots or run.name in self._queue:
            return False
        if not self._queue and self.budget.take_slot(run.name):
            return True
        if held:
            self._short = True
        else:
            self._queue.append(run.name)
            run.waits_since = self.now
        return False

    def warm(self, run: RunHere) -> list[Action]:
        """Have slots ready before the first frame comes, as far as nobody else needs the memory."""
        actions: list[Action] = []
        if run.modest:
            return actions
        while not self._queue and self.budget.slots(run.name) < run.most_slots and self.budget.take_slot(run.name):
            actions.append(Warm(run.name))
        return actions

    def next_served(self, actions: list[Action]) -> RunHere | None:
        """Give the run at the head of the queue its slot, if room can be made for it.

        Parameters
        ----------
        actions : list
            What making room asks for is added.

        Returns
        -------
        RunHere or None
            The run whose parked frames may be placed now.
        """
        while self._queue:
            run = self._runs[self._queue[0]]
            for asked in self._take_back(run):
                actions += asked
                if run.name not in self._queue:  # it had to give up what it had parked itself
                    break
                if self.budget.take_slot(run.name):
                    self._queue.remove(run.name)
                    run.waits_since = None
                    return run
            else:
                return None
        return None

    def make_room(self, need: Need, frame: int) -> tuple[list[Action], str]:
        """Make room for one more run; see `WorkerProtocol.make_room`."""
        least = Budget.least(need, frame)
        if least > self.budget.total:
            raise MemoryRefusedError(
                f"the run needs {mib(least)} MiB of a worker's memory, which has {mib(self.budget.total)} MiB for runs",
                f"raise memory_mib by at least {mib(least - self.budget.total)}",
            )
        actions: list[Action] = []
        if self.budget.has_room(need, frame):
            for asked in self._take_back(None):
                actions += asked
                if self.budget.has_now(need, frame):
                    return actions, ""
        return actions, self._why(len(self._runs))

    def _take_back(self, run: RunHere | None) -> Iterator[list[Action]]:
        """Take memory back step by step, the least painful first."""
        yield []
        others = sorted((r for r in self._runs.values() if r is not run), key=lambda r: r.heard)
        for other in others:
            while self.empty(other) > 0:
                yield [self._free(other)]
        for other in others:
            if self.idle(other) and other.name not in self._queue and (other.unfinished or other.in_hand > other.cost):
                yield self.restart(other)
        if self.budget.all_slots == 0 and self._drained_read == self.read:
            for name in reversed(tuple(self._queue)):
                yield self.restart(self._runs[name])

    def _free(self, run: RunHere) -> Action:
        self.budget.drop_slot(run.name)
        return FreeSlot(run.name)

    # --- windows ---

    def window(self, run: RunHere) -> int:
        """Give the bytes that a run may have on their way when there is memory for them."""
        return max(2, min(WINDOW_FRAMES, self.window_bytes // run.cost)) * run.cost

    def grant(self, run: RunHere, *, closed: bool = False) -> None:
        """Let more frames of a run come, as far as memory allows.

        Parameters
        ----------
        run : RunHere
            Its ``granted`` grows.
        closed : bool
            Nothing more may come.
        """
        need = self.budget.need(run.name)
        wanted, spare = self.window(run), 0
        active = self.budget.slots(run.name) > 0
        if not active:
            modest = run.modest or self._queue
            wanted, spare = (run.cost, 0) if modest else (wanted, need.slot + need.write)
        elif self._queue:
            wanted = 2 * run.cost
        more = self.budget.widen(run.name, run.in_hand, 0 if closed else wanted, spare)
        if closed:
            return
        run.granted += more
        self._short |= active and run.in_hand < wanted

    # --- taking back ---

    def idle(self, run: RunHere) -> bool:
        """Tell whether nothing came of a run for a while, not even something that is not read yet."""
        read = self._drained - run.heard > IDLE_S or self.read - run.heard_read > self._turns(1)
        return read and self.now - run.heard > IDLE_S

    def hear(self, run: RunHere) -> None:
        """Take note of a sign of life."""
        run.heard, run.heard_read = self.now, self.read

    def _turns(self, messages: int) -> int:
        """Give how many messages must be read until so many of one connection are: they are read in turn.

        A run has one connection, or two for a moment; some are of nobody.
        """
        return messages * (4 * len(self._runs) + 8)

    def end_session(self, run: RunHere) -> list[int]:
        """Drop what is not whole, for it will come again; gives the blocks that lose their slot.

        What the session was allowed to send may be on its way still; it counts until it must have arrived.
        """
        blocks = run.end_session()
        run.settled_read = self.read + self._turns(run.astray // run.cost)
        return blocks

    def restart(self, run: RunHere) -> list[Action]:
        """Have a run begin its session anew: what is not whole is dropped, its agent holds it and sends it again."""
        actions: list[Action] = [Discard(run.name, block) for block in self.end_session(run)]
        actions.append(DropParked(run.name))
        while self.empty(run) > 0:
            actions.append(self._free(run))
        self.leave_queue(run.name)
        if self._drained_read == self.read:  # nothing of it is on its way
            run.astray = 0
        run.modest = True
        self.budget.widen(run.name, run.in_hand, 0)
        if run.address is not None:
            what = "the worker's memory is needed by another run"
            actions.append(ToAgent(run.address, m.Refuse(what, "join again", run.name)))
            run.address = None
        return actions

    def leave_queue(self, name: str) -> None:
        """Let a run wait no longer."""
        if name in self._queue:
            self._queue.remove(name)
        if name in self._runs:
            self._runs[name].waits_since = None

    def settle(self, now: float, drained: bool) -> list[RunHere]:
        """Take note of the time; once enough is read, nothing of earlier sessions is on its way any more.

        Returns
        -------
        list of RunHere
            Runs that may have more on their way now.
        """
        self.now = now
        if drained:
            self._drained, self._drained_read = now, self.read
        settled = [r for r in self._runs.values() if r.astray and (drained or self.read >= r.settled_read)]
        for run in settled:
            run.astray = 0
        return [run for run in settled if run.address is not None]

    def tick(self) -> list[Action]:
        """Take from idle runs what active ones lack."""
        actions: list[Action] = []
        if not self._short:
            return actions
        self._short = False
        for run in self._runs.values():
            if not self.idle(run) or run.name in self._queue:
                continue
            if run.in_hand > run.cost and not run.blocks:
                actions += self.restart(run)
            while self.empty(run) > 0:
                actions.append(self._free(run))
        return actions

    # --- telling ---

    def waiting(self) -> dict[str, str]:
        """Tell which runs wait for memory, and why."""
        told: dict[str, str] = {}
        for name in self._queue:
            since = self._runs[name].waits_since
            if since is not None and self.now - since >= PATIENCE_S:
                told[name] = self._why(len(self._runs) - 1)
        return told

    def _why(self, others: int) -> str:
        runs = f"{others} other run{'' if others == 1 else 's'}"
        return f"waits for memory: a worker's {mib(self.budget.total)} MiB for runs are shared with {runs}"


def mib(nbytes: int) -> int:
    """Give whole MiB, rounded up."""
    return -(-nbytes // 2**20)
