"""The demonstration: service and agent as separate processes, a real recording at camera rate, then a verdict."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from ..stream.errors import OctostreamError
from .child import die_with_parent
from .settings import keys_of

#: The sensor and rate of the microscope that octostream was made for.
SENSOR = "2048x2048"
RATE_HZ = 100.0
#: Frames of one pass over the recording, and its camera offset, counts.
STACK_FRAMES = 88
OFFSET = 98


@dataclass(frozen=True)
class Addresses:
    """Where a service listens."""

    dashboard: str
    ingest: str


class RunningService(AbstractContextManager["RunningService"]):
    """A service in a process of its own, stopped when the block is left.

    Parameters
    ----------
    data : Path
        Directory of the stores.
    log : Path
        File that takes the service's log.
    http : str
        Address of the page; port 0 takes a free one.
    config : Path, optional
        Settings of the service.
    """

    def __init__(self, data: Path, log: Path, http: str, config: Path | None = None) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "octostream", "serve", "--json", "--data", str(data)]
        self._log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [
                    *command,
                    "--http",
                    http,
                    "--ingest",
                    "tcp://127.0.0.1:0",
                    *(("--config", str(config)) if config else ()),
                ],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                process_group=0,  # Ctrl-C stops the agent first: the service must still be there to seal the run
                preexec_fn=die_with_parent,
                # Its own keys, that is none: those of a tier on this machine are for instruments.
                env={**os.environ, "OCTOSTREAM_KEYS_DIR": str(keys_of(data))},
            )

    def wait(self, event: str) -> Addresses:
        """Wait until the service says that it is so far.

        Raises
        ------
        OctostreamError
            It ended before.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            if said["event"] == event:
                return Addresses(said["dashboard"], said["ingest"])
        tail = self._log.read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise OctostreamError(f"the service did not start ({tail[0]})", f"see {self._log}")

    def hold(self) -> None:
        """Wait until the service ends by itself."""
        self._process.wait()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drain and stop."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def passes(seconds: float) -> int:
    """Give how often the recording is played to last about so long."""
    return max(1, math.ceil(seconds * RATE_HZ / STACK_FRAMES))


def record(
    sample: Path, ingest: str, seconds: float, hear: Callable[[str], None], more: Sequence[str] = ()
) -> Mapping[str, Any]:
    """Run an agent that streams the recording; its progress goes to standard error.

    Parameters
    ----------
    sample : Path
        The recorded stack.
    ingest : str
        Address of the service.
    seconds : float
        About how long.
    hear : callable
        Called if the agent ends without a result, with the last thing it said.
    more : sequence of str
        Arguments of the agent beside the usual ones.

    Returns
    -------
    mapping
        The agent's result.

    Raises
    ------
    OctostreamError
        The agent gave none.
    """
    command = [sys.executable, "-m", "octostream", "acquire", str(sample), "--to", ingest, "--json"]
    options = ["--tile", SENSOR, "--rate", str(RATE_HZ), "--loop", str(passes(seconds))]
    recipe = ["--set", f"calibrate.offset={OFFSET}"]
    agent = subprocess.Popen(
        [*command, *options, *recipe, *more], stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent
    )
    assert agent.stdout is not None
    try:
        lines = [line for line in agent.stdout if line.strip()]
    except KeyboardInterrupt:  # the agent heard it too, and seals the run
        hear("stopping …")
        lines = [line for line in agent.stdout if line.strip()]
    finally:
        agent.stdout.close()
        agent.wait()
    if not lines:
        raise OctostreamError(f"the agent ended with code {agent.returncode} and no result", "see what it said above")
    return json.loads(lines[-1])
