"""Who takes part, in the order of the table."""

from __future__ import annotations

from collections.abc import Mapping

from .contestant import Contestant, Launcher
from .one_process import OneProcess
from .ours import Octostream, StartService
from .workload import RATE_HZ, Workload

PIPE = "the same frames over the same sockets to another process; nothing is done with them, nothing is stored"
NUMPY = (
    "the same arrays, shards and codecs, the same values, in one process without a network; {}; each shard written "
    "once and fsynced; no commit records, no ledger, no OME-Zarr metadata"
)
PLAIN = "float32, vectorised, step by step, one block after the other"
TUNED = "few passes and temporaries, as many threads as cores, the block before is written meanwhile"
ACQUIRE = (
    "raw frames, lossless, {}; octostream's shard shape, lz4 level 1 bitshuffle, fsynced; one process, no network, no "
    "calibration, no projections, no statistics, no checksums"
)


def lineup(workload: Workload, start_service: StartService, environment: Mapping[str, str]) -> list[Contestant]:
    """Give the contestants; ours is the first.

    Parameters
    ----------
    workload : Workload
        The frames.
    start_service : callable
        Starts a tier that keeps its stores in a folder.
    environment : mapping
        Added to the environment of every contestant.
    """
    launcher = Launcher(workload, environment)
    acquire = {"launcher": launcher, "role": "acquire-zarr", "package": "acquire_zarr"}
    return [
        Octostream(launcher, start_service),
        OneProcess("bare ZeroMQ pipe", PIPE, launcher, "zeromq"),
        OneProcess("NumPy + zarr-python", NUMPY.format(PLAIN), launcher, "numpy", {"tuned": False}),
        OneProcess("NumPy + zarr-python, tuned", NUMPY.format(TUNED), launcher, "numpy", {"tuned": True}),
        OneProcess("acquire-zarr", ACQUIRE.format("no pyramid"), **acquire, options={"pyramid": False}),
        OneProcess("acquire-zarr, pyramid", ACQUIRE.format("with its pyramid"), **acquire, options={"pyramid": True}),
        Octostream(launcher, start_service, RATE_HZ),
    ]
