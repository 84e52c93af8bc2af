"""One run as a worker's protocol knows it."""

from __future__ import annotations

from dataclasses import dataclass, field

from .agent_protocol import FRAME_OVERHEAD
from .model import Frame, Plan
from .ranges import Ranges
from .worker_events import Address


@dataclass
class BlockHere:
    """A block that has a slot.

    Attributes
    ----------
    count : int
        Frames of a whole one.
    frames : dict
        Those that are reduced, by number.
    flush : Ranges or None
        The frames that it will ever have, where they are fewer.
    writing : bool
        Whole, and on its way to the disk.
    """

    count: int
    frames: dict[int, Frame] = field(default_factory=dict)
    flush: Ranges | None = None
    writing: bool = False

    @property
    def whole(self) -> bool:
        """Whether nothing more will come."""
        if self.flush is not None:
            return all(n in self.frames for n in self.flush)
        return len(self.frames) == self.count


@dataclass
class RunHere:
    """A run that is served.

    Attributes
    ----------
    name, token : str
        Run id, and by what its agent is known.
    plan : Plan
        What comes.
    most_slots : int
        Slots that are of use to it.
    committed : Ranges
        Blocks that are durable.
    instrument : str
        Whose keys it belongs to; empty where agents need none.
    address : bytes or None
        Of the agent that joined.
    session : int
        Of that agent.
    granted, received : int
        Bytes since the session began: that may come, and that came.
    astray : int
        Bytes that earlier sessions were allowed and that may still arrive, only to be dropped.
    blocks : dict
        Those that have a slot.
    parked : dict
        Frames that wait for one.
    flushes : dict
        Of blocks whose frames are all parked.
    heard : float
        When its last frame came or its agent joined, monotonic seconds.
    heard_read, settled_read : int
        How many messages of all agents had been read then, and must have been read for ``astray`` to be nothing.
    waits_since : float or None
        Since when it waits for its first slot.
    modest : bool
        It had to make room for others, and nothing came of it since: it gets no more than it must.
    """

    name: str
    token: str
    plan: Plan
    most_slots: int
    committed: Ranges
    instrument: str = ""
    address: Address | None = None
    session: int = 0
    granted: int = 0
    received: int = 0
    astray: int = 0
    blocks: dict[int, BlockHere] = field(default_factory=dict)
    parked: dict[int, Frame] = field(default_factory=dict)
    flushes: dict[int, Ranges] = field(default_factory=dict)
    heard: float = 0.0
    heard_read: int = 0
    settled_read: int = 0
    waits_since: float | None = None
    modest: bool = False

    @property
    def cost(self) -> int:
        """What a frame costs of the credit."""
        return self.plan.frame_bytes + FRAME_OVERHEAD

    @property
    def coming(self) -> int:
        """Bytes that may still come."""
        return max(0, self.granted - self.received)

    @property
    def in_hand(self) -> int:
        """Bytes that may still come or wait here."""
        return self.astray + self.coming + len(self.parked) * self.cost

    @property
    def unfinished(self) -> list[int]:
        """Blocks that have a slot and are not whole."""
        return [number for number, block in self.blocks.items() if not block.writing]

    @property
    def writing(self) -> int:
        """Blocks that wait for the disk."""
        return len(self.blocks) - len(self.unfinished)

    def end_session(self) -> list[int]:
        """Drop what is not whole, for it will come again; gives the blocks that lose their slot."""
        self.astray += self.coming
        self.granted = self.received = 0
        gone = self.unfinished
        for number in gone:
            del self.blocks[number]
        self.parked.clear()
        self.flushes.clear()
        return gone
