"""The agent as a library: open a run, send frames, know what became of each.

>>> import numpy as np
>>> from octostream.acquire.recording import open_run
>>> from octostream.stream.model import Plan
>>> def acquire(camera):  # doctest: +SKIP
...     plan = Plan(shape=(20, 1, 50, 2048, 2048), rate_hz=100)
...     with open_run("tcp://127.0.0.1:5555", plan, name="embryo-7") as run:
...         for frame in camera:
...             run.send(frame)
...     print(run.sealed.status, run.store)
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from ..stream import messages as m
from ..stream.agent_protocol import Timing
from ..stream.clock import monotonic_s, wall_ns
from ..stream.errors import OctostreamError, RefusedError, SourceError, UnreachableError
from ..stream.key_files import read_instrument
from ..stream.model import Frame, Plan
from .agent import Agent
from .overrun import Overrun, overrun_of
from .ring import RING_BYTES, Ring
from .spool import Spool
from .spool_folder import spool_folder

#: How large the spool of a run may become.
SPOOL_BYTES = 64 * 2**30
#: A source that cannot wait waits so long for memory, once, before frames are lost: most cameras hold a few themselves.
DROP_WAIT_S = 0.05
#: So long where a spool only needs to catch up, because its disk or the machine stood still for a moment.
SPOOL_WAIT_S = 1.0


class Recording:
    """A run that is open.

    Attributes
    ----------
    plan : Plan
        What is acquired.
    sealed : Sealed or None
        How it ended; None until the ``with`` block is left.
    """

    def __init__(self, agent: Agent, plan: Plan, overrun: Overrun = "block") -> None:
        self.plan = plan
        self.overrun: Overrun = overrun
        self._agent = agent
        self._spare: NDArray[np.uint16] | None = None
        self._next = 0
        self._missed = 0
        self._taken: tuple[int | None, NDArray[np.uint16], float] | None = None
        self._dropping = False

    @property
    def run(self) -> str:
        """Run id."""
        return self._welcome.run

    @property
    def name(self) -> str:
        """Name of the run."""
        return self._welcome.name

    @property
    def store(self) -> str:
        """Path of the store, on the tier."""
        return self._welcome.store

    @property
    def dashboard(self) -> str:
        """Address of the page."""
        return self._welcome.dashboard

    @property
    def sealed(self) -> m.Sealed | None:
        """How the run ended."""
        return self._agent.sealed

    @property
    def sent(self) -> int:
        """Frames handed over so far."""
        # At the end the agent's count holds: Ctrl-C may have come between numbering a frame and handing it over.
        return self._agent.sent if self._agent.over.is_set() else self._next - self._missed

    @property
    def held(self) -> int:
        """Frames handed over that are not yet durable."""
        return self._agent.held

    @property
    def _welcome(self) -> m.Welcome:
        assert self._agent.welcome is not None
        return self._agent.welcome

    @property
    def lost(self) -> int:
        """Frames lost at this side so far."""
        return self._missed

    @property
    def trouble(self) -> str:
        """Why frames are lost at this side now, or what is wrong with the spool; empty where nothing is."""
        return self._why_dropped() if self._dropping else self._agent.trouble

    def send(self, frame: NDArray[np.uint16], timestamp_ns: int | None = None) -> None:
        """Send the next frame. While the tier is behind, what happens is the run's overrun policy.

        Parameters
        ----------
        frame : uint16 (y, x), counts
            Copied before this returns.
        timestamp_ns : int, optional
            When it was taken, nanoseconds since 1970; now if not given.

        Raises
        ------
        SourceError
            It is not of the plan's shape, not uint16, or one more than planned.
        RefusedError, UnreachableError
            The run has failed.
        """
        if frame.shape != self.plan.frame_shape or frame.dtype != np.uint16:
            what = f"frame {self._next} is {frame.dtype} {frame.shape}, the plan says uint16 {self.plan.frame_shape}"
            raise SourceError(what, "send frames of the planned kind")
        self.buffer()[...] = frame
        self.commit(timestamp_ns)

    def buffer(self) -> NDArray[np.uint16]:
        """Give the buffer of the next frame, uint16 (y, x), to be filled in place and sent by ``commit``."""
        self._check_number()
        if self._taken is None:
            began = monotonic_s()
            slot = self._wait_for_slot() if self.overrun == "block" else self._slot_in_time()
            self._taken = (slot, self._spare_buffer() if slot is None else self._agent.ring[slot], began)
        return self._taken[1]

    def _wait_for_slot(self) -> int:
        while True:
            self._check_open()
            slot = self._agent.ring.take(0.5)
            if slot is not None:
                return slot

    def _slot_in_time(self) -> int | None:
        """Take a slot without keeping the camera waiting: once it did wait for nothing, it is not asked to again."""
        self._check_open()
        catching_up = self.overrun == "spool" and not self._agent.overrun
        wait_s = SPOOL_WAIT_S if catching_up else DROP_WAIT_S
        slot = self._agent.ring.take(0.0 if self._dropping else wait_s)
        self._dropping = slot is None
        return slot

    def _spare_buffer(self) -> NDArray[np.uint16]:
        """Give the place of a frame that cannot be kept: the camera must be read nevertheless."""
        if self._spare is None:
            self._spare = np.empty(self.plan.frame_shape, np.uint16)
        return self._spare

    def commit(self, timestamp_ns: int | None = None, waited_s: float = 0.0) -> None:
        """Send what was filled into ``buffer``.

        Parameters
        ----------
        timestamp_ns : int, optional
            When it was taken, nanoseconds since 1970; now if not given.
        waited_s : float
            Time since ``buffer`` that was spent waiting for the frame to be due; not counted as work.
        """
        assert self._taken is not None, "fill buffer() first"
        number = self._next
        stamp = wall_ns() if timestamp_ns is None else int(timestamp_ns)
        if not 0 <= stamp < 2**63:
            raise SourceError(f"frame {number} has the time {stamp}", "give nanoseconds since 1970")
        (slot, pixels, began), self._taken = self._taken, None
        if slot is None:
            self._lose("agent", self._why_dropped())
            return
        self._next = number + 1  # first: whoever goes on after an interruption never uses a number twice
        checksum = xxhash.xxh3_64_intdigest(pixels.data)
        now = monotonic_s()
        self._agent.acquire.observe(now, now - began - waited_s, 1, pixels.nbytes)
        self._agent.captured(Frame(number, stamp, checksum), slot)

    def _why_dropped(self) -> str:
        if self.overrun == "drop":
            return "the agent's memory was full: the tier was behind or away"
        return f"the agent's memory and its spool were full ({self._agent.overrun or 'its disk was behind'})"

    def miss(self, why: str) -> None:
        """Account for the next frame as lost at the source, and go on with the one after it."""
        self._check_number()
        self._lose("source", why)

    def _lose(self, where: str, why: str) -> None:
        number, self._next = self._next, self._next + 1
        self._missed += 1
        self._agent.acquire.lost += 1
        self._agent.missed(number, where, why)

    def late(self, frames: int) -> None:
        """Report how many frames started late so far."""
        self._agent.late = frames

    def finish(
        self, why: str = "", waiting: Callable[[int], None] = lambda held: None, where: str = "source"
    ) -> m.Sealed:
        """Wait until everything sent is durable and the run is sealed.

        Parameters
        ----------
        why : str
            Why planned frames are missing, where some are.
        waiting : callable
            Called a few times a second meanwhile, with the number of frames that are not yet durable.
        where : str
            Where they are missing.

        Raises
        ------
        RefusedError, UnreachableError
            The run has failed.
        """
        self._agent.finish(why, where)
        while not self._agent.over.wait(0.2):  # in slices, so that Ctrl-C is heard
            waiting(self.held)
        self._check()
        assert self._agent.sealed is not None
        return self._agent.sealed

    def give_up(self) -> None:
        """End without waiting: what is not durable stays in the spool, or is lost where the run has none."""
        self._agent.close()

    def _check_open(self) -> None:
        self._check()
        if self.sealed is not None:
            what = f"the service sealed the run as {self.sealed.status} before it ended"
            raise RefusedError(what, "open a new run for the rest")

    def _check_number(self) -> None:
        if self._next >= self.plan.frames:
            raise SourceError(f"all {self.plan.frames} planned frames are sent", "plan more frames")

    def _check(self) -> None:
        if self._agent.error is not None:
            raise self._agent.error
        if self._agent.over.is_set() and self._agent.sealed is None:
            raise UnreachableError("the run was closed", "open a new one")

    def __enter__(self) -> Recording:
        """Give the open run."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Seal the run (unless that was done) and free everything."""
        try:
            if not self._agent.over.is_set():
                self.finish(_reason(error) if error else "" if self._next == self.plan.frames else "fewer frames sent")
        except OctostreamError:
            if error is None:
                raise
        finally:
            self._agent.close()


def _reason(error: BaseException) -> str:
    return "stopped by the operator" if isinstance(error, KeyboardInterrupt) else str(error) or type(error).__name__


def open_run(
    to: str,
    plan: Plan,
    *,
    name: str = "",
    investigation: str = "local",
    visit: str = "",
    technique: str = "",
    recipe: Mapping[str, Any] | None = None,
    maps: Mapping[str, NDArray[Any]] | None = None,
    keep_raw: bool = False,
    overrun: Overrun | None = None,
    spool: Path | None = None,
    spool_bytes: int = SPOOL_BYTES,
    memory_bytes: int = RING_BYTES,
    timing: Timing | None = None,
    key: Path | None = None,
) -> Recording:
    """Open a run at a tier.

    Parameters
    ----------
    to : str
        Address of the tier, ``tcp://HOST:PORT``.
    plan : Plan
        What will be acquired, and what is to be known of it: ``plan.metadata``.
    name, investigation : str
        Where the store will lie; the tier makes up a name where none is given.
    visit : str
        Of the investigation, where it has visits; names must differ within one.
    technique : str
        What the metadata must follow; the tier's choice where none is given.
    recipe : mapping, optional
        Recipe as JSON types; the tier's default where none is given.
    maps : mapping, optional
        Calibration arrays that the recipe refers to, by key.
    keep_raw : bool
        Store the frames as they come, too.
    overrun : str, optional
        What happens while the tier is behind or away and the agent's memory is full: ``block`` makes `Recording.send`
        wait, ``spool`` writes to this machine's disk, ``drop`` loses the newest frames. Where not given, a plan with a
        rate is a camera's and is spooled, one without can wait.
    spool : Path, optional
        Folder of the spools, for ``spool``.
    spool_bytes : int
        How large the spool of this run may become.
    memory_bytes : int
        How much memory frames may take that are not yet durable.
    timing : Timing, optional
        How patient to be.
    key : Path, optional
        The instrument's key file, which the tier made; a tier that uses keys takes nobody without.

    Returns
    -------
    Recording
        To be used as a context manager; leaving it seals the run.

    Raises
    ------
    RefusedError
        The tier refuses; the text says why and what to do.
    UnreachableError
        Nobody answers.
    SpoolError
        The spool cannot be made.
    UsageError
        The memory is too small for the plan.
    KeyFileError
        The key file is missing, unsafe or damaged.
    """
    arrays = {key: np.ascontiguousarray(a) for key, a in (maps or {}).items()}
    opening = m.Open(
        token=secrets.token_hex(16),
        name=name,
        investigation=investigation,
        plan=plan,
        recipe=recipe or {},
        keep_raw=keep_raw,
        maps=tuple((key, a.dtype.str, a.shape) for key, a in arrays.items()),
        payload=b"".join(a.tobytes() for a in arrays.values()),
        visit=visit,
        technique=technique,
    )
    ring = Ring.for_plan(plan, memory_bytes)
    proved = read_instrument(key) if key else None
    policy = overrun or overrun_of(plan)
    its_spool = Spool.create(spool or spool_folder(), opening, to, spool_bytes) if policy == "spool" else None
    agent = Agent(to, opening, ring, its_spool, timing, proved)
    start(agent)
    return Recording(agent, plan, policy)


def start(agent: Agent) -> None:
    """Start an agent and wait until its run is open.

    Raises
    ------
    RefusedError, UnreachableError
        It is not, and the agent is closed.
    """
    agent.start()
    while not agent.opened.wait(0.2):  # in slices, so that Ctrl-C is heard
        pass
    if agent.welcome is None:
        agent.close()
        raise agent.error or RefusedError("the run was not opened", "see the service's log")
