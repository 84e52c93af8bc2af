"""octostream itself: service and agent as separate processes over TCP, down to durable products."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import psutil

from .contestant import Launcher
from .measurement import Measurement

#: Starts a service that keeps its stores in a folder; the block gets its address for agents, when it is ready.
StartService = Callable[[Path], AbstractContextManager[str]]

WHAT = (
    "agent and service in separate processes over TCP: checksum, calibrate, bin, encode, pyramid, three projections, "
    "statistics, preview; compressed shards, fsynced; commit records, ledger, page and OME-Zarr metadata"
)
PACED = "the same, paced like the camera; the rate counts the time until the last block is durable, too"


@dataclass(frozen=True)
class Octostream:
    """The whole system, as fast as it goes or paced like a camera.

    Attributes
    ----------
    launcher : Launcher
        For the agent.
    start_service : callable
        For the tier.
    rate_hz : float or None
        Frames a second that the camera gives; None for as many as are taken.
    key : Path, optional
        The agent's key file, where the tier asks for one.
    """

    launcher: Launcher
    start_service: StartService
    rate_hz: float | None = None
    key: Path | None = None

    @property
    def name(self) -> str:
        """Short name."""
        if self.key is not None:
            return "octostream with keys"
        return "octostream" if self.rate_hz is None else f"octostream at {self.rate_hz:g} Hz"

    @property
    def what(self) -> str:
        """What it does."""
        return WHAT if self.rate_hz is None else PACED

    @property
    def missing(self) -> str:
        """Nothing: it is here."""
        return ""

    def run(self, folder: Path, seconds: float) -> Measurement:
        """Start a fresh service and record; see ``Contestant.run``."""
        here = psutil.Process()
        before = {p.pid for p in here.children(recursive=True)}
        with self.start_service(folder) as ingest:
            service = [p.pid for p in here.children(recursive=True) if p.pid not in before]
            options = {"ingest": ingest, "service": service, "rate_hz": self.rate_hz}
            options |= {"key": str(self.key)} if self.key else {}
            return self.launcher.measure("octostream", folder, seconds, **options)
