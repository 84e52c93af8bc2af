"""The real processes, with real sockets and real disks."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from octostream.api.cli import main

from .instruments import Instruments

DATA = Path(__file__).parents[2].parent / "shared" / "data"
LATTICE = DATA / "lattice_lightsheet_raw.tif"


@pytest.fixture
def lattice():
    if not LATTICE.exists():
        pytest.skip("the recorded stack is not here (shared/data)")
    return LATTICE


def until(condition, seconds=30.0, every=0.02):
    """Wait until something holds, at most so long; gives what the condition gave."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        threading.Event().wait(every)
    raise AssertionError(f"{condition} did not come true within {seconds} s")


class Command:
    """An ``octostream`` process; what it prints is kept, nothing blocks it."""

    program = ("-m", "octostream")

    def __init__(self, *arguments, env=None, prefix=()):
        self.process = subprocess.Popen(
            [*prefix, sys.executable, *self.program, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, **(env or {})},
        )
        self.out, self.err = [], []
        self.lines = queue.SimpleQueue()
        self.threads = [
            threading.Thread(target=self._read, args=(self.process.stdout, self.out), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stderr, self.err), daemon=True),
        ]
        for thread in self.threads:
            thread.start()

    def _read(self, stream, lines):
        with stream:
            for line in stream:
                lines.append(line.rstrip("\n"))
                if lines is self.out:
                    self.lines.put(line)

    def wait(self, seconds=60):
        code = self.process.wait(seconds)
        for thread in self.threads:
            thread.join(5)
        return code

    def json(self):
        return json.loads(self.out[-1])

    def said(self, event, seconds=90):
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self.lines.get(timeout=max(0.01, min(0.5, deadline - time.monotonic())))
            except queue.Empty:
                assert self.process.poll() is None, self.err[-5:]
                assert time.monotonic() < deadline, (event, self.err[-5:])
                continue
            told = json.loads(line)
            if told["event"] == event:
                return told

    def signal(self, number):
        self.process.send_signal(number)

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        for thread in self.threads:
            thread.join(5)


class Service(Command):
    """``octostream serve`` on free ports."""

    def __init__(self, data, *arguments, http="127.0.0.1:0", ingest="tcp://127.0.0.1:0", **options):
        self.data = Path(data)
        super().__init__("serve", "--json", "--data", data, "--http", http, "--ingest", ingest, *arguments, **options)
        ready = self.said("ready")
        self.ingest, self.dashboard = ready["ingest"], ready["dashboard"]

    def end(self):
        began = time.monotonic()
        super().end()
        slow = [line for line in self.err if "did not stop in time" in line or "unwritten" in line]
        assert not slow, (slow, time.monotonic() - began)

    def get(self, path):
        return httpx.get(self.dashboard.rstrip("/") + path, timeout=5)

    def status(self):
        try:
            answer = self.get("/api/v1/status")
        except httpx.HTTPError:
            return None
        return answer.json() if answer.status_code == 200 else None

    def children(self, role):
        """Give the process ids of a role, from the kernel."""
        found = []
        listed = subprocess.run(
            ["ps", "-o", "pid=,args=", "--ppid", str(self.process.pid)], capture_output=True, text=True, check=False
        ).stdout
        for line in listed.splitlines():
            pid, _, args = line.strip().partition(" ")
            if f"octostream.api.process {role}" in args:
                found.append(int(pid))
        return found


@pytest.fixture
def serve(tmp_path):
    started = []

    def start(*arguments, data=None, **options):
        service = Service(data or tmp_path / "data", *arguments, **options)
        started.append(service)
        return service

    yield start
    for service in reversed(started):
        service.end()


@pytest.fixture
def command():
    started = []

    def start(*arguments, **options):
        made = Command(*arguments, **options)
        started.append(made)
        return made

    yield start
    for made in started:
        if made.process.poll() is None:
            made.process.kill()
        made.end()


@pytest.fixture
def call(monkeypatch, capsys):
    """Call ``octostream`` in this process, where nothing needs one of its own: each of those takes seconds to begin."""

    def called(*arguments):
        monkeypatch.setattr(sys, "argv", ["octostream", *map(str, arguments)])
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
        capsys.readouterr()
        try:
            with pytest.raises(SystemExit) as ended:
                main()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return ended.value.code, capsys.readouterr().err.splitlines()

    return called


@pytest.fixture(scope="session")
def shared_service(tmp_path_factory):
    """One service for the tests that leave it as they found it."""
    service = Service(tmp_path_factory.mktemp("shared"))
    yield service
    service.end()


def acquire(service, source, *arguments, timeout=90):
    """Run an agent to its end."""
    agent = Command("acquire", source, "--to", service.ingest, "--json", *arguments)
    try:
        code = agent.wait(timeout)
    finally:
        agent.end()
    return code, agent


def counter(service, name):
    lines = service.get("/metrics").text.splitlines()
    (line,) = [line for line in lines if line.startswith(f"octostream_{name}_total ")]
    return float(line.split()[1])


@pytest.fixture
def instruments(tmp_path):
    (tmp_path / "instruments").mkdir()
    return Instruments(tmp_path / "data", tmp_path / "instruments")
