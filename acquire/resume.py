"""A run taken up again from the spool that its agent left behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..stream.agent_protocol import Timing
from ..stream.errors import OctostreamError
from ..stream.key_files import read_instrument
from ..stream.messages import Sealed
from .agent import Agent
from .recording import Recording, start
from .ring import Ring
from .spool import Spool

#: Why frames are lost that were neither durable nor in the spool.
ENDED = "the agent ended before the frame was durable or in its spool"


def resume(
    directory: Path,
    to: str = "",
    *,
    waiting: Callable[[int], None] = lambda held: None,
    timing: Timing | None = None,
    key: Path | None = None,
) -> Sealed:
    """Send what a spool holds, and have its run sealed.

    Parameters
    ----------
    directory : Path
        Of the spool; it is removed once the run is sealed.
    to : str
        Address of the tier; where the run was opened if not given.
    waiting : callable
        Called a few times a second, with the number of frames that are not yet durable.
    timing : Timing, optional
        How patient to be.
    key : Path, optional
        The instrument's key file; the one that the run was opened with, or its successor.

    Returns
    -------
    Sealed
        How the run ended.

    Raises
    ------
    SpoolError
        The spool cannot be read, or its agent still runs.
    RefusedError, UnreachableError
        The tier refuses, or nobody answers; the spool stays as it is.
    KeyFileError
        The key file is missing, unsafe or damaged.
    """
    proved = read_instrument(key) if key else None
    spool = Spool.open(directory)
    opening = replace(spool.opening, resume=spool.run)
    agent = Agent(to or spool.to, opening, Ring(opening.plan.frame_shape, 1), spool, timing, proved)
    start(agent)
    with Recording(agent, opening.plan) as run:
        try:
            return run.finish(ENDED, waiting, where="agent")
        except KeyboardInterrupt:
            run.give_up()
            what = f"stopped with {run.held} frames still in the spool {directory.name}"
            raise OctostreamError(what, "resume it again") from None
