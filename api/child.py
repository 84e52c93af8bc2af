"""A child of the service: how it says that it is ready, hears that it must stop, and dies with its parent."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

#: Linux: send this process a signal when its parent dies, so that no orphan keeps an address or a store.
_PR_SET_PDEATHSIG = 1
#: Frames come from the heap and stay there: fresh pages for each would cost more than the copy.
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(256 * 2**20),
    "MALLOC_ARENA_MAX": "2",
}


def die_with_parent() -> None:
    """Ask the kernel for SIGTERM when the parent dies; elsewhere than on Linux this does nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def allow_many_files() -> None:
    """Take as many files as this user may open: a flood of connections must not keep shards from being written."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with suppress(ValueError, OSError):  # where there is no end to it, some kernels want a number
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def say(ready_fd: int, **facts: Any) -> None:
    """Tell the parent something, as one line of JSON."""
    os.write(ready_fd, (json.dumps(facts) + "\n").encode())


def on_signals(stop: Callable[[], None], drain: Callable[[], None] | None = None) -> None:
    """Stop on SIGTERM, drain on SIGUSR1; Ctrl-C is the parent's business."""
    signal.signal(signal.SIGTERM, lambda *_: stop())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, (lambda *_: drain()) if drain else signal.SIG_IGN)
