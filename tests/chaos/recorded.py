"""A run of a real service with a living agent in the test, whose frames are known to the last bit."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import numpy as np
import psutil
import zarr
from octostream.acquire.recording import Recording, open_run
from octostream.sinks.verify import verify
from octostream.stream.model import Plan

from ..system.conftest import until

#: Blocks of 20 frames; the rate only says how the plan is cut, frames come as fast as they are taken.
PLAN = Plan((12, 1, 10, 256, 256), rate_hz=20.0)
FRAMES = np.random.default_rng(3).integers(90, 4000, (PLAN.frames, *PLAN.frame_shape), dtype=np.uint16)
#: Says when a block was written: differs between two runs.
TIMES = "frames/committed_ns"


class LiveAgent:
    """An agent that sends every frame of the plan, in a thread of its own.

    Attributes
    ----------
    run : Recording
        The open run.
    failure : BaseException or None
        What ended it before its time.
    """

    def __init__(self, to: str, name: str, investigation: str = "local") -> None:
        self.run: Recording = open_run(to, PLAN, name=name, investigation=investigation, keep_raw=True, overrun="block")
        self.failure: BaseException | None = None
        self._go_to = 0
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._send, name=f"camera-{name}")
        self._thread.start()

    @property
    def acknowledged(self) -> set[int]:
        """Blocks of which the agent was told that they are durable."""
        return {
            number for first, last in self.run._agent._protocol.committed.spans for number in range(first, last + 1)
        }

    def send_to(self, frames: int) -> None:
        """Let so many frames be sent in all."""
        with self._changed:
            self._go_to = frames
            self._changed.notify()

    def finish(self, seconds: float = 120.0):
        """Send the rest, wait until the run is sealed; gives how it ended."""
        self.send_to(PLAN.frames)
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"not sealed in {seconds} s, {self.run.held} frames are held"
        if self.failure:
            raise self.failure
        return self.run.sealed

    def vanish(self) -> None:
        """End without a word, as a process that is killed."""
        self.run._agent._stop.set()
        self.send_to(PLAN.frames)
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _send(self) -> None:
        try:
            for number in range(PLAN.frames):
                with self._changed:
                    assert self._changed.wait_for(lambda n=number: n < self._go_to, 120)
                self.run.send(FRAMES[number], timestamp_ns=10**18 + number)
            self.run.finish()
        except BaseException as error:  # noqa: BLE001 - the test asks for it
            self.failure = error
        finally:
            self.run._agent.close()


def kill_all(service) -> None:
    """Kill every process of a service at once, as a power cut does."""
    pids = [service.process.pid, *(pid for role in ("head", "web", "worker") for pid in service.children(role))]
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    service.wait(30)
    soon(lambda: all(gone(pid) for pid in pids))


def gone(pid: int) -> bool:
    """Whether a process has ended, collected by its parent or not."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def soon(condition):
    """Wait until something holds: soon on a quiet machine, and not for ever on a busy one."""
    return until(condition, 90)


def verdict(service, word: str, reason: str) -> None:
    """Wait until the service says a word and a reason."""
    soon(lambda: (s := service.status()) and s["verdict"] == word and reason in s["reason"])


def is_exact(store: Path, undisturbed: Path) -> None:
    """See that a sealed store holds what was sent, and all that the undisturbed one holds."""
    report = verify(store)
    assert report.ok, report.problems
    assert (report.status, report.frames_stored, report.frames_lost) == ("complete", PLAN.frames, 0)
    found, calm = zarr.open_group(store, mode="r"), zarr.open_group(undisturbed, mode="r")
    names = arrays(undisturbed)
    assert arrays(store) == names
    for name in names:
        if name != TIMES:
            np.testing.assert_array_equal(found[name][...], calm[name][...], err_msg=name)
    np.testing.assert_array_equal(found["raw/0"][...].reshape(FRAMES.shape), FRAMES)


def arrays(store: Path) -> list[str]:
    """Give the paths of all arrays of a store."""
    described = [file for file in store.rglob("zarr.json") if json.loads(file.read_bytes())["node_type"] == "array"]
    return sorted(str(file.parent.relative_to(store)) for file in described)
