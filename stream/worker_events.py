"""What a worker's protocol is told, and what it asks for: plain data."""

from __future__ import annotations

from dataclasses import dataclass

from . import messages as m
from .budget import Need
from .keys import OPEN_DOOR, Permit
from .model import Frame, Plan
from .ranges import Ranges

Address = bytes


# --- events -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ServeRun:
    """The head asked for a run and it is prepared; these blocks are durable; more than ``slots`` are of no use."""

    run: str
    token: str
    plan: Plan
    slots: int
    committed: Ranges
    need: Need
    instrument: str = ""


@dataclass(frozen=True, slots=True)
class ForgetRun:
    """The run is over."""

    run: str


@dataclass(frozen=True, slots=True)
class FromAgent:
    """A message from an agent; ``intact`` is False where a frame's payload did not match its checksum.

    ``permit`` is what the agent may do, by the key that it proved.
    """

    address: Address
    message: m.Message
    intact: bool = True
    permit: Permit = OPEN_DOOR


@dataclass(frozen=True, slots=True)
class Written:
    """A block and its commit record are durable."""

    run: str
    block: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed: monotonic seconds; ``drained`` where everything that had arrived by then is handled."""

    now: float
    drained: bool = True


@dataclass(frozen=True, slots=True)
class Drain:
    """Stop taking frames; finish the blocks that are whole."""


Event = ServeRun | ForgetRun | FromAgent | Written | Tick | Drain


# --- actions ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToAgent:
    """Send a message to an agent."""

    address: Address
    message: m.Message


@dataclass(frozen=True, slots=True)
class Warm:
    """Allocate one more slot ahead of its first block."""

    run: str


@dataclass(frozen=True, slots=True)
class FreeSlot:
    """Give the memory of one slot back that holds no block."""

    run: str


@dataclass(frozen=True, slots=True)
class Begin:
    """Give a slot to a block: a free one of the run, else a new one."""

    run: str
    block: int


@dataclass(frozen=True, slots=True)
class Reduce:
    """Reduce a frame into its block's slot; its payload arrived with this event or was parked."""

    run: str
    block: int
    frame: Frame


@dataclass(frozen=True, slots=True)
class Park:
    """Keep the payload of a frame until a slot is free."""

    run: str
    number: int


@dataclass(frozen=True, slots=True)
class Write:
    """The block is whole: write its products, then its commit record."""

    run: str
    block: int
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class Discard:
    """Give up an unfinished block; its slot is free again."""

    run: str
    block: int


@dataclass(frozen=True, slots=True)
class DropParked:
    """The parked frames of a run will be sent again: free them."""

    run: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Free everything of a run."""

    run: str


Action = ToAgent | Warm | FreeSlot | Begin | Reduce | Park | Write | Discard | DropParked | Forget
