"""What happens to an agent (events) and what it does then (actions); its protocol decides between the two."""

from __future__ import annotations

from dataclasses import dataclass

from . import messages as m
from .errors import OctostreamError
from .model import Frame

# --- events -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Captured:
    """The source delivered a frame; its payload is held by the caller until released."""

    frame: Frame


@dataclass(frozen=True, slots=True)
class Spooled:
    """A held frame lies in the spool now: it is sent from there, through a buffer that is free for that."""

    number: int


@dataclass(frozen=True, slots=True)
class Buffers:
    """So many more buffers are free for frames that are read back from the spool."""

    free: int


@dataclass(frozen=True, slots=True)
class Missed:
    """A frame will never come: the source did not deliver it, or nothing could keep it."""

    number: int
    where: str
    why: str


@dataclass(frozen=True, slots=True)
class Damaged:
    """A frame that was to be sent could not be read back from the spool."""

    number: int
    why: str


@dataclass(frozen=True, slots=True)
class Finish:
    """No more frames will be captured; what the plan still expects is lost there for this reason."""

    why: str
    where: str = "source"


@dataclass(frozen=True, slots=True)
class FromHead:
    """A message from the head."""

    message: m.Message


@dataclass(frozen=True, slots=True)
class FromWorker:
    """A message from a worker."""

    worker: str
    message: m.Message


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""


Event = Captured | Spooled | Buffers | Missed | Damaged | Finish | FromHead | FromWorker | Tick


# --- actions ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToHead:
    """Send a message to the head."""

    message: m.Message


@dataclass(frozen=True, slots=True)
class ToWorker:
    """Send a message to a worker."""

    worker: str
    message: m.Message


@dataclass(frozen=True, slots=True)
class SendFrame:
    """Send a held frame to a worker; the caller attaches the payload."""

    worker: str
    session: int
    frame: Frame


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a fresh connection to a worker (closing an older one)."""

    worker: str
    endpoint: str


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Close the connection to a worker, dropping what it has not sent."""

    worker: str


@dataclass(frozen=True, slots=True)
class Release:
    """These frames are durable: their buffers may be used again."""

    frames: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """The run is open."""

    welcome: m.Welcome


@dataclass(frozen=True, slots=True)
class Finished:
    """The run is sealed."""

    sealed: m.Sealed


@dataclass(frozen=True, slots=True)
class Failed:
    """The run cannot go on."""

    error: OctostreamError


Action = ToHead | ToWorker | SendFrame | Connect | Disconnect | Release | Opened | Finished | Failed
