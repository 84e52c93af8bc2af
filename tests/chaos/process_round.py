"""One round of the campaign: real processes, signals as drawn, everything alive again at its end."""

import os
import random
import signal
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx
from octostream.sinks.layout import commits_folder
from octostream.sinks.sealfile import ledger_file

from ..system.conftest import Command, Service, until
from ..system.test_faults import alive

#: Everything is over within so long, however busy the machine.
ROUND_S = 300.0
#: A resumed spool that finds no tier gives up after ten seconds; so often it is tried anew.
TRIES = 12
#: Outside the range from which the kernel takes ports for connections: a tier that is away finds its own again.
PORTS = range(20000, 32000)
ROLES = ("head", "web", "worker")


class Tapped(Command):
    """An agent's process that leaves behind what it knew."""

    program = (str(Path(__file__).with_name("tapped.py")),)


class Instrument:
    """An agent, and who comes after it when it is killed."""

    def __init__(self, number, folder, data, source, *arguments):
        self.name = f"run-{number}"
        self.store = data / "local" / f"{self.name}.ome.zarr"
        self.log = folder / f"{self.name}.log"
        self.log.touch()
        self.spools = folder / f"spool-{number}"
        self.killed = False
        self.codes = []
        self.over = False
        self._counted = False
        self._again_s = 0.0
        self.process = self._start("acquire", source, "--name", self.name, "--json", *arguments)

    def _start(self, *arguments):
        return Tapped(self.log, *arguments, env={"OCTOSTREAM_SPOOL": str(self.spools)})

    @property
    def blocks(self):
        """How many blocks are durable, by the store itself."""
        try:
            return sum(name.endswith(".json") for name in os.listdir(commits_folder(self.store)))
        except FileNotFoundError:
            return 0

    @property
    def pids(self):
        return [self.process.process.pid] if self.process.process.poll() is None else []

    def kill(self, pause_s):
        self.killed = True
        self.process.process.kill()
        self.process.process.wait()
        self._again_s = time.monotonic() + pause_s

    def tend(self):
        """Have a spool sent that a killed agent left; see whether nothing is to be done any more."""
        if self.over or self.pids:
            return
        if not self._counted:
            self._counted = True
            self.codes.append(self.process.wait())
        left = list(self.spools.glob("*"))
        if not (self.killed and left) or len(self.codes) > TRIES:
            self.over = True
        elif time.monotonic() >= self._again_s:
            self._again_s = time.monotonic() + 1.0
            self._counted = False
            self.process = self._start("resume", left[0])


class Played:
    """A round under way.

    Attributes
    ----------
    struck : list of (Fault, seconds)
        What was done, and how long it took until the run went on; None where it was over by then.
    """

    def __init__(self, drawn, folder, sources, arguments):
        self.drawn = drawn
        self.data = folder / "data"
        self.struck = []
        self._waiting = []
        self._stopped = {}
        self._seen = set()
        self._env = {"OCTOSTREAM_AGENT_TIMEOUT_S": str(drawn.agent_timeout_s), "TMPDIR": str(folder)}
        self._http, self._ingest = f"127.0.0.1:{free_port()}", f"tcp://127.0.0.1:{free_port()}"
        self._service_again_s = None
        self.instruments = []
        self.service = self._serve()
        arguments = ("--to", self._ingest, "--overrun", drawn.overrun, "--keep-raw", *arguments)
        for k in range(drawn.agents):
            self.instruments.append(Instrument(k, folder, self.data, sources[k], *arguments))

    def _serve(self):
        workers = ("--workers", self.drawn.workers)
        return Service(self.data, *workers, env=self._env, http=self._http, ingest=self._ingest)

    def play(self):
        """Strike as drawn, and see everything through to its end."""
        deadline = time.monotonic() + ROUND_S
        until(lambda: all(i.blocks or not i.pids for i in self.instruments), 60)
        faults = list(self.drawn.faults)
        due_s = time.monotonic()
        while not self._done():
            assert time.monotonic() < deadline, f"not over: {self._where()}"
            if faults and time.monotonic() >= due_s + faults[0].after_s and self._strike(faults[0]):
                due_s = time.monotonic()
                faults.pop(0)
            self._carry_on()
            threading.Event().wait(0.03)
        self._observe()
        self.struck += [(fault, None) for fault, *_ in self._waiting]
        self._see_children()
        until(lambda: all(ledger_file(i.store).exists() for i in self.instruments), 90)

    def _where(self):
        return [(i.name, i.over, i.blocks, i.codes, i.process.err[-3:]) for i in self.instruments], self.service.err[
            -5:
        ]

    def _done(self):
        return all(i.over for i in self.instruments) and not self._stopped and self._service_again_s is None

    # --- faults ---

    def _strike(self, fault):
        """Give whether it was done, or cannot be done any more."""
        if fault.victim == "service":
            return self._kill_service(fault)
        if fault.victim == "agent":
            instrument = self.instruments[fault.which % len(self.instruments)]
            pids, concerned = instrument.pids, [instrument]
            if instrument.over:
                return True
        else:
            pids, concerned = sorted(self.service.children(fault.victim)), self.instruments
        if not pids or self._service_again_s is not None:
            return False
        pid = pids[fault.which % len(pids)]
        self._seen.add(pid)
        blocks = sum(i.blocks for i in concerned)
        if fault.number == signal.SIGKILL:
            self._stopped.pop(pid, None)
            if fault.victim == "agent":
                instrument.kill(fault.for_s)
            else:
                self._send(pid, signal.SIGKILL)
            self._waiting.append((fault, concerned, blocks, time.monotonic()))
        else:
            self._send(pid, signal.SIGSTOP)
            self._stopped[pid] = (time.monotonic() + fault.for_s, fault, concerned)
        return True

    def _kill_service(self, fault):
        if self._service_again_s is not None:
            return False
        self._see_children()
        # Its workers end when they wake; a head or a page that stands still would keep the address.
        keep_addresses = [pid for role in ("head", "web") for pid in self.service.children(role)]
        blocks = sum(i.blocks for i in self.instruments)
        self.service.process.kill()
        Command.end(self.service)
        for pid in keep_addresses:
            self._continue(pid)
        until(lambda: not any(map(alive, keep_addresses)), 60)
        self._service_again_s = time.monotonic() + fault.for_s
        self._waiting.append((fault, self.instruments, blocks, time.monotonic()))
        return True

    def _carry_on(self):
        now = time.monotonic()
        for pid in [pid for pid, (until_s, *_) in self._stopped.items() if now >= until_s]:
            self._continue(pid)
        if self._service_again_s is not None and now >= self._service_again_s:
            self._service_again_s = None
            self.service = self._serve()
        for instrument in self.instruments:
            instrument.tend()
        self._observe()

    def _continue(self, pid):
        stood = self._stopped.pop(pid, None)
        if stood is not None:
            _, fault, concerned = stood
            self._waiting.append((fault, concerned, sum(i.blocks for i in concerned), time.monotonic()))
            self._send(pid, signal.SIGCONT)

    def _send(self, pid, number):
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    def _observe(self):
        """Note what goes on again: another block is durable, or nothing was left to do; the page answers."""
        waiting, self._waiting = self._waiting, []
        for fault, concerned, blocks, since_s in waiting:
            if fault.victim == "web":
                on = self._answers()
            else:
                on = sum(i.blocks for i in concerned) > blocks or all(i.over for i in concerned)
            if on:
                self.struck.append((fault, time.monotonic() - since_s))
            else:
                self._waiting.append((fault, concerned, blocks, since_s))

    def _answers(self):
        try:
            return httpx.get(f"http://{self._http}/livez", timeout=0.3).status_code == 200
        except httpx.HTTPError:
            return False

    # --- the end ---

    def _see_children(self):
        self._seen.update(pid for role in ROLES for pid in self.service.children(role))

    def end(self):
        """Stop what still runs; every process that was ever seen is gone then."""
        for pid in list(self._stopped):
            self._continue(pid)
        for instrument in self.instruments:
            instrument.process.end()
        self.service.end()
        until(lambda: not any(map(alive, self._seen)), 60)


def free_port():
    """Give a port that nobody has now, and that no connection is given."""
    for port in random.sample(PORTS, 100):
        with socket.socket() as tried, suppress(OSError):
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")
