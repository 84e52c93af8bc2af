"""The messages of the protocol, as frozen data (docs/protocol.md has the table)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .model import Loss, Plan
from .ranges import Ranges

#: Spoken by every party; a different number is refused with both numbers named.
PROTOCOL_VERSION = 1


@dataclass(frozen=True)
class Peer:
    """A worker that an agent can send frames to.

    Attributes
    ----------
    worker : str
        Unique to one life of the worker process.
    endpoint : str
        ZeroMQ address of its data socket.
    """

    worker: str
    endpoint: str


# --- agent and head ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Open:
    """Agent to head: begin a run, or come back to it (the token tells the same agent from another).

    ``resume`` is the run to come back to; empty for a new one. ``unfinished`` tells that there are frames to come: a
    run that was sealed because its agent was silent is taken up again for them.

    ``visit`` is that of the investigation, empty where none is named; ``technique`` says which metadata the plan must
    have, empty for the tier's own choice.

    ``maps`` are the calibration arrays, one entry (key, dtype, shape) each, laid one after another in the payload.
    """

    token: str
    name: str
    investigation: str
    plan: Plan
    recipe: Mapping[str, Any]
    keep_raw: bool
    maps: tuple[tuple[str, str, tuple[int, ...]], ...] = ()
    payload: memoryview | bytes = b""
    resume: str = ""
    unfinished: bool = True
    visit: str = ""
    technique: str = ""


@dataclass(frozen=True)
class Welcome:
    """Head to agent: the run is open; these blocks are already durable."""

    run: str
    name: str
    store: str
    workers: tuple[Peer, ...]
    committed: Ranges
    dashboard: str = ""


@dataclass(frozen=True)
class Refuse:
    """Head or worker to agent, worker to head: no, and what to do about it."""

    what: str
    remedy: str = ""
    run: str = ""


#: Why a key is not enough: revoked since it was let in, or another's than the run's.
NOT_ALLOWED = Refuse(
    "the key of this connection is not allowed any more", "have it allowed with `octostream keys allow`"
)
NOT_YOURS = Refuse("the run belongs to another instrument", "open a run of your own")


@dataclass(frozen=True)
class Workers:
    """Head to agent: the workers of a run are now these."""

    run: str
    workers: tuple[Peer, ...]


@dataclass(frozen=True)
class Lost:
    """Agent to head: frames that will never come."""

    run: str
    losses: tuple[Loss, ...]


@dataclass(frozen=True)
class End:
    """Agent to head: everything that could be sent is acknowledged; the rest is lost as listed."""

    run: str
    losses: tuple[Loss, ...]


@dataclass(frozen=True)
class Sealed:
    """Head to agent: the run is finished; ``ledger`` and ``summary`` are JSON types."""

    run: str
    status: str
    ledger: Mapping[str, Any]
    summary: Mapping[str, Any]


@dataclass(frozen=True)
class Ping:
    """Agent to head or worker: I am here.

    To a worker, ``sent`` names the frames that it should have, so that one lost on the way is noticed; to the head,
    ``stages`` carries the agent's stage reports as JSON types.
    """

    run: str = ""
    session: int = 0
    sent: Ranges = field(default_factory=Ranges)
    stages: tuple[Mapping[str, Any], ...] = ()
    late: int = 0


@dataclass(frozen=True)
class Pong:
    """Head or worker to agent: I heard you; ``waits`` says what the run waits for, if it does."""

    run: str = ""
    waits: str = ""


# --- agent and worker -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Join:
    """Agent to worker: I will send frames of this run, here is its token; this session's counters start at zero."""

    run: str
    session: int
    token: str


@dataclass(frozen=True)
class Credit:
    """Worker to agent: so many bytes may have been sent since the session began (cumulative)."""

    run: str
    session: int
    granted: int


@dataclass(frozen=True)
class FrameData:
    """Agent to worker: one frame; the payload is the raw uint16 image, little-endian, row by row."""

    run: str
    session: int
    number: int
    timestamp_ns: int
    checksum: int
    payload: memoryview | bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Flush:
    """Agent to worker: this block will only ever have these frames; commit it with them."""

    run: str
    session: int
    block: int
    frames: Ranges


@dataclass(frozen=True)
class Committed:
    """Worker to agent: all blocks of the run that this worker knows to be durable (cumulative)."""

    run: str
    blocks: Ranges


@dataclass(frozen=True)
class Corrupt:
    """Worker to agent: a frame's payload does not match its checksum; send it again."""

    run: str
    number: int


# --- worker and head --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Register:
    """Worker to head: I exist, under this slot of the tier, and listen there."""

    worker: str
    slot: str
    endpoint: str
    device: str


@dataclass(frozen=True)
class Serve:
    """Head to worker: prepare for a run whose description lies in the store."""

    run: str
    store: str


@dataclass(frozen=True)
class Ready:
    """Worker to head: prepared for a run."""

    run: str


@dataclass(frozen=True)
class Over:
    """Head to worker: a run is finished; forget it."""

    run: str


@dataclass(frozen=True)
class BlockDone:
    """Worker to head: a block is durable.

    ``reduced`` and ``durable`` are latency histograms (counts a bucket, and the sum in seconds) of its frames.
    """

    run: str
    block: int
    frames: Ranges
    raw_bytes: int
    stored_bytes: int
    reduced: tuple[tuple[int, ...], float]
    durable: tuple[tuple[int, ...], float]


@dataclass(frozen=True)
class Stats:
    """Worker to head, twice a second: stage reports, memory, trouble, frames reduced of each run.

    ``malformed`` counts messages that made no sense, ``refused`` connections that were not let in. ``memory_bytes`` is
    what the process may use; ``waiting`` says of runs that wait for memory here why they do.
    """

    worker: str
    stages: tuple[Mapping[str, Any], ...]
    rss_bytes: int
    trouble: str
    received: Mapping[str, int]
    malformed: int = 0
    refused: int = 0
    memory_bytes: int = 0
    waiting: Mapping[str, str] = field(default_factory=dict)


Message = (
    Open
    | Welcome
    | Refuse
    | Workers
    | Lost
    | End
    | Sealed
    | Ping
    | Pong
    | Join
    | Credit
    | FrameData
    | Flush
    | Committed
    | Corrupt
    | Register
    | Serve
    | Ready
    | Over
    | BlockDone
    | Stats
)
