"""The bare pipe: the same frames through the same sockets to another process, which does nothing with them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..stream.clock import monotonic_s
from ..stream.errors import UnreachableError
from ..stream.link import Dealer, Poll, context
from .contestant import Task
from .measurement import Measurement
from .meter import Meter
from .workload import frame_numbers

#: Bytes under way, as between an agent and a worker.
WINDOW_BYTES = 64 * 2**20
#: Silence for so long is a failure.
PATIENCE_S = 30.0


def work(task: Task) -> Measurement:
    """Send until the time is over and everything has arrived."""
    bank, plan = task.workload.bank(), task.workload.plan(task.seconds)
    window = max(2, WINDOW_BYTES // plan.frame_bytes)
    sent = 0
    with _far_end() as (pid, endpoint):
        ctx = context()
        link = Dealer(ctx, endpoint)
        credit = _Credit(link, window)
        try:
            with Meter({"sender": [os.getpid()], "receiver": [pid]}) as meter:
                for number in frame_numbers(plan, task.seconds):
                    credit.take()
                    link.send_tracked(b"frame", bank[number % len(bank)].data.cast("B"))
                    sent += 1
                credit.wait_for(lambda: credit.left == window)
        finally:
            link.close()
            ctx.term()
    return Measurement(
        frames=sent,
        seconds=meter.seconds,
        cpu_s=meter.cpu_s,
        peak_bytes=meter.peak_bytes - bank.nbytes,
        raw_bytes=sent * plan.frame_bytes,
        stored_bytes=0,
    )


class _Credit:
    """How many more frames may be sent; each that arrives gives one back."""

    def __init__(self, link: Dealer, frames: int) -> None:
        self.left = frames
        self._link = link
        self._poll = Poll()
        self._poll.add(link)

    def take(self) -> None:
        self.wait_for(lambda: self.left > 0)
        self.left -= 1

    def wait_for(self, enough: Callable[[], bool]) -> None:
        end = monotonic_s() + PATIENCE_S
        self._collect()
        while not enough():
            if monotonic_s() > end:
                raise UnreachableError(f"the other end of the pipe was silent for {PATIENCE_S:g} s", "run again")
            self._poll.wait(1.0)
            self._collect()

    def _collect(self) -> None:
        while self._link.receive() is not None:
            self.left += 1


@contextmanager
def _far_end() -> Iterator[tuple[int, str]]:
    command = [sys.executable, "-m", "octostream.benchmarks.pipe_end", str(os.getpid())]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.pid, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
