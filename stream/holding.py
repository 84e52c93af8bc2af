"""The frames that an agent holds, from capture until their blocks are durable, and the account of what it lost."""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from .ledger import joined
from .model import Block, Frame, Loss, Plan
from .ranges import Ranges

#: Characters of the reason of one loss: the header of a message is at most 1 MiB.
WHY_CHARACTERS = 300


@dataclass
class HeldBlock:
    """A block that is not durable yet.

    Attributes
    ----------
    block : Block
        Its place in the plan.
    held : dict
        Its captured frames by number.
    unsent : dict
        Those of them that its worker does not have.
    missed : set of int
        Its frames that will never come.
    worker : str or None
        Who gets it.
    flushed : bool
        That worker knows which frames are missing.
    """

    block: Block
    held: dict[int, Frame] = field(default_factory=dict)
    unsent: dict[int, Frame] = field(default_factory=dict)
    missed: set[int] = field(default_factory=set)
    worker: str | None = None
    flushed: bool = False

    @property
    def sent(self) -> Iterator[int]:
        """Numbers of the frames that its worker should have."""
        return (number for number in self.held if number not in self.unsent)

    def cut_short(self, finished: bool) -> bool:
        """Tell whether all its frames are there that ever will be, and some never will."""
        closed = finished or len(self.held) + len(self.missed) == self.block.count
        return closed and len(self.held) < self.block.count


class Holding:
    """What an agent has in hand of its run.

    Parameters
    ----------
    plan : Plan
        Of the run.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.blocks: dict[int, HeldBlock] = {}
        self.committed = Ranges()
        self.held = 0
        self.unsent = 0
        self.finished = False
        self._order: list[int] = []
        self._ordered: set[int] = set()
        self._losses: list[Loss] = []
        self._captured: list[tuple[int, int]] = []
        self._rest = Loss(0, 0, "source", "not acquired")
        self._told = 0

    # --- what comes in ---

    def capture(self, frame: Frame) -> bool:
        """Hold a frame; False where its block is durable already, so that it need not be held."""
        spans = self._captured
        if spans and spans[-1][1] == frame.number - 1:
            spans[-1] = (spans[-1][0], frame.number)
        else:
            spans.append((frame.number, frame.number))
        block = self.block_of(frame.number)
        if block is None:
            return False
        block.held[frame.number] = frame
        self.held += 1
        self.wait(block, frame)
        return True

    def miss(self, number: int, where: str, why: str) -> HeldBlock | None:
        """Account for a frame that is lost, held so far or not; gives its block unless that is durable."""
        loss = Loss(number, number, where, why[:WHY_CHARACTERS])
        self._losses[-1:] = joined([*self._losses[-1:], loss])
        block = self.block_of(number)
        if block is None:
            return None
        block.missed.add(number)
        if block.held.pop(number, None) is not None:
            self.held -= 1
            self.unsent -= block.unsent.pop(number, None) is not None
            block.flushed = False
        return block

    def finish(self, where: str, why: str) -> None:
        """Expect nothing more; what the plan still expects is lost there for this reason."""
        self.finished = True
        self._rest = Loss(0, 0, where, why[:WHY_CHARACTERS] or "not acquired")

    def block_of(self, number: int) -> HeldBlock | None:
        """Give the block of a frame; None where it is durable."""
        block = self.plan.blocks.block_of(number)
        if block.number in self.committed:
            return None
        return self.blocks.setdefault(block.number, HeldBlock(block))

    # --- what goes out ---

    def wait(self, block: HeldBlock, frame: Frame) -> None:
        """Have a held frame sent, for the first time or again."""
        if frame.number not in block.unsent:
            block.unsent[frame.number] = frame
            self.unsent += 1
        self._put_in_order(block.block.number)

    def _put_in_order(self, number: int) -> None:
        if number not in self._ordered:
            self._ordered.add(number)
            heapq.heappush(self._order, number)

    def waiting(self) -> Generator[HeldBlock]:
        """Go through the blocks with frames to be sent, oldest first; what is not sent meanwhile stays in order."""
        seen: list[HeldBlock] = []
        try:
            while self._order:
                number = heapq.heappop(self._order)
                self._ordered.discard(number)
                block = self.blocks.get(number)
                if block is not None and block.unsent:
                    seen.append(block)
                    yield block
        finally:
            for block in seen:
                if block.unsent:
                    self._put_in_order(block.block.number)

    def send(self, block: HeldBlock, number: int) -> None:
        """Count a frame as sent to the worker of its block."""
        del block.unsent[number]
        self.unsent -= 1

    def take_back(self, worker: str) -> None:
        """Have everything sent again that a worker has got."""
        for block in self.blocks.values():
            if block.worker == worker:
                block.worker, block.flushed = None, False
                for frame in block.held.values():
                    self.wait(block, frame)

    def acknowledge(self, blocks: Ranges) -> tuple[int, ...]:
        """Note which blocks are durable; gives the frames that need not be held any longer."""
        fresh, self.committed = blocks - self.committed, self.committed | blocks
        freed: list[int] = []
        for first, last in fresh.spans:
            # A head that comes back names thousands of blocks at once; few of them are still here.
            here = range(first, last + 1) if last - first < len(self.blocks) else sorted(self.blocks)
            for number in here:
                block = self.blocks.pop(number, None) if first <= number <= last else None
                if block is not None:
                    freed += block.held
                    self.held -= len(block.held)
                    self.unsent -= len(block.unsent)
        return tuple(freed)

    def holds(self, number: int) -> bool:
        """Tell whether a frame is held."""
        block = self.blocks.get(self.plan.blocks.block_of(number).number)
        return block is not None and number in block.held

    def is_sent(self, number: int) -> bool:
        """Tell whether a held frame is on its way to a worker, or there."""
        return self.holds(number) and number not in self.blocks[self.plan.blocks.block_of(number).number].unsent

    # --- the account ---

    def losses(self) -> tuple[Loss, ...]:
        """Give every loss known here; frames never captured are lost for the reason of the finish."""
        known = Ranges.join([*self._captured, *((k.first, k.last) for k in self._losses)])
        rest = Ranges(((0, self.plan.frames - 1),)) - known
        return (*self._losses, *(Loss(a, b, self._rest.where, self._rest.why) for a, b in rest.spans))

    def untold(self) -> tuple[Loss, ...]:
        """Give the losses since the last call, for the page; the end tells them all again, so none needs to arrive."""
        losses, self._told = tuple(self._losses[max(0, self._told - 1) :]), len(self._losses)
        return losses
