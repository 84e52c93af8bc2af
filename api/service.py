"""The service: head, web and workers as processes of their own, kept alive and stopped in order."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import structlog

from ..sinks.durable import make_folders
from ..stream.clock import monotonic_s
from ..stream.errors import OctostreamError, StoreError, UsageError
from ..stream.key_files import in_use, read_allowed, read_server
from ..stream.link import host_of, is_loopback
from .described import Techniques
from .settings import Settings
from .supervisor import Child, Died, Said, Signalled, Supervisor

log = structlog.get_logger()

#: Compiling every kernel for the first time takes about a minute on a slow machine.
START_S = 180.0


class Service:
    """A tier on this machine.

    Parameters
    ----------
    settings : Settings
        What to run.

    Raises
    ------
    UsageError
        An address is taken.
    StoreError
        The data directory cannot be written.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.ingest = settings.ingest
        self._keys = keys_for(settings)
        Techniques(settings.techniques, settings.technique).check()
        self.data = prepare_data(settings.data)
        self._lock = lock_data(self.data)
        self._listener = listen(settings.http)
        self._private = tempfile.mkdtemp(prefix="octostream-")  # mode 0700: only this user reaches the tier's sockets
        self._tier = f"ipc://{self._private}/tier"
        self._copies = f"ipc://{self._private}/copies"
        workers = [
            Child(f"worker-{i}", "worker", lambda slot=f"worker-{i}": self._worker(slot))
            for i in range(settings.workers)
        ]
        web = Child("web", "web", self._web, (self._listener.fileno(),))
        catalogue = [Child("catalogue", "catalogue", self._catalogue)] if settings.catalogue else []
        self._supervisor = Supervisor([Child("head", "head", self._head), web, *catalogue, *workers])
        self._waiting = set(self._supervisor.children)
        self._had_gpu: set[str] = set()

    @property
    def dashboard(self) -> str:
        """Address of the page."""
        host, port = self._listener.getsockname()[:2]
        return f"http://{host}:{port}/"

    def run(self, tell: Callable[[str], None]) -> None:
        """Serve until SIGTERM or Ctrl-C, then drain.

        Parameters
        ----------
        tell : callable
            Called with ``"listening"`` when agents may connect, ``"ready"`` when every process is, ``"draining"``.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda got, _: self._supervisor.happenings.put(Signalled(got)))
        try:
            self._supervisor.start()
            self._serve(tell)
            tell("draining")
            self._drain()
        finally:
            self._supervisor.restart = False
            for name in reversed(list(self._supervisor.children)):
                self._supervisor.stop(name, 5)
            self._listener.close()
            self._lock.close()
            shutil.rmtree(self._private, ignore_errors=True)

    def _serve(self, tell: Callable[[str], None]) -> None:
        deadline = monotonic_s() + START_S
        while True:
            happening = self._supervisor.wait(1.0)
            if isinstance(happening, Signalled):
                return
            if isinstance(happening, Said):
                self._said(happening, tell)
            if isinstance(happening, Died) and happening.name in self._waiting:
                self._check_start(happening)
            if self._waiting and monotonic_s() > deadline:
                raise OctostreamError(f"{', '.join(sorted(self._waiting))} did not start", "see the log above")

    def _said(self, said: Said, tell: Callable[[str], None]) -> None:
        if "error" in said.facts:
            if said.name in self._waiting:
                error = UsageError if said.facts.get("code") == 2 else OctostreamError
                raise error(str(said.facts["error"]))
            log.error("process failed", process=said.name, why=said.facts["error"])
            return
        if "ingest" in said.facts:
            self.ingest = str(said.facts["ingest"])
        if said.facts.get("device") == "gpu":
            self._had_gpu.add(said.name)
        if said.name not in self._waiting:
            return
        self._waiting.discard(said.name)
        if said.name == "head":
            tell("listening")
        if not self._waiting:
            tell("ready")

    def _check_start(self, died: Died) -> None:
        if self._supervisor.children[died.name].failures > 3:
            raise OctostreamError(f"{died.name} ended with code {died.code} at every start", "see the log above")

    def _drain(self) -> None:
        """Take no new runs, make durable what was received, then stop; another signal meanwhile changes nothing."""
        self._supervisor.restart = False
        self._supervisor.signal("head", signal.SIGUSR1)
        workers = [name for name in self._supervisor.children if name.startswith("worker")]
        for name in workers:
            self._supervisor.signal(name, signal.SIGTERM)
        for name in workers:
            self._supervisor.stop(name, self.settings.drain_s + 2)

    # --- what each child is told ---

    def _head(self) -> dict[str, Any]:
        return {
            "data": str(self.data),
            "ingest": self.ingest,
            "tier": self._tier,
            "copies": self._copies,
            "dashboard": self.dashboard,
            "reserve_bytes": self.settings.reserve_mib * 2**20,
            "agent_timeout_s": self.settings.agent_timeout_s,
            "memory_bytes": self.settings.memory_mib * 2**20,
            "keys": self._keys,
            "catalogue_s": self.settings.catalogue.grown_s if self.settings.catalogue else 0.0,
            "technique": self.settings.technique,
            "techniques": str(self.settings.techniques),
        }

    def _catalogue(self) -> dict[str, Any]:
        assert self.settings.catalogue is not None  # else there is no such child
        return {"data": str(self.data), "catalogue": self.settings.catalogue.model_dump(mode="json")}

    def _worker(self, slot: str) -> dict[str, Any]:
        host = self.settings.ingest.removeprefix("tcp://").rpartition(":")[0]
        return {
            "worker": f"{slot}-{secrets.token_hex(3)}",
            "slot": slot,
            "head": self._tier,
            "bind": f"tcp://{host}:{self._worker_port(slot)}",
            "copies": self._copies,
            "keys": self._keys,
            "window_bytes": self.settings.window_mib * 2**20,
            "memory_bytes": self.settings.memory_mib * 2**20,
            "drain_s": self.settings.drain_s,
            "reserve_bytes": self.settings.reserve_mib * 2**20,
            "device": self.settings.device,
            "had_gpu": slot in self._had_gpu,
        }

    def _worker_port(self, slot: str) -> int:
        first = self.settings.worker_port
        return first + int(slot.rpartition("-")[2]) if first else 0

    def _web(self) -> dict[str, Any]:
        return {
            "data": str(self.data),
            "copies": self._copies,
            "listen_fd": self._listener.fileno(),
            "ingest": self.ingest,
            "catalogue": self.settings.catalogue is not None,
        }


def keys_for(settings: Settings) -> str:
    """Give the folder of keys that agents must be in; empty where they need none.

    Raises
    ------
    UsageError
        Others than this machine could reach the tier, and no key is in use.
    KeyFileError
        The keys cannot be used.
    """
    if in_use(settings.keys):
        read_server(settings.keys)  # both are read again by those who use them; here they fail with one line, at once
        read_allowed(settings.keys)
        return str(settings.keys)
    host = host_of(settings.ingest)
    if not is_loopback(host):
        what = f"other machines could record at {settings.ingest}, and no key is in use"
        remedy = "`octostream keys new NAME` and `octostream keys allow` first, or give --ingest tcp://127.0.0.1:PORT"
        raise UsageError(what, remedy)
    return ""


def prepare_data(data: Path) -> Path:
    """Make the data directory and see that it can be written.

    Raises
    ------
    StoreError
        It cannot.
    """
    try:
        private = data / ".octostream"
        make_folders(private)
        with tempfile.TemporaryFile(dir=private):
            pass
    except OSError as error:
        raise StoreError(
            f"data directory {data} cannot be written ({os.strerror(error.errno or 0)})", "give another one to --data"
        ) from error
    return data.resolve()


def lock_data(data: Path) -> IO[str]:
    """Take a data directory for this service alone, until the file is closed or the process ends.

    Raises
    ------
    UsageError
        Another service has it: two would seal each other's runs.
    """
    lock = (data / ".octostream" / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise UsageError(f"another service uses {data}", "stop it, or give another directory to --data") from error
    return lock


def listen(http: str) -> socket.socket:
    """Listen for HTTP.

    Raises
    ------
    UsageError
        The address is taken or not of this machine.
    """
    host, _, port = http.rpartition(":")
    try:
        return socket.create_server((host, int(port)), reuse_port=False)
    except OSError as error:
        why = error.strerror or str(error)
        raise UsageError(f"cannot serve HTTP at {http} ({why})", "give another address to --http") from error
