"""Handing the data of runs to the people of their investigations, beside the deliverer and never in its way."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog

from ...stream.clock import monotonic_s
from ...stream.errors import OctostreamError
from .connection import Connection
from .facts import RunFacts
from .failures import judge
from .lookup import Lookup
from .owner_command import OwnerCommand, owner_command
from .owner_notes import NOT_RUN, OwnerNotes
from .owner_queue import OwnerQueue
from .settings import PASSWORD_VARIABLE, USERNAME_VARIABLE, CatalogueSettings

#: What was killed, and may be one that cannot be, is waited for so long, seconds.
KILLED_S = 5.0
#: What is sent to a process that is to end; any other that ends one is of its own doing.
_STOPS = frozenset({signal.SIGTERM, signal.SIGKILL, signal.SIGHUP, signal.SIGINT})
_LONGEST_WHY = 500

log = structlog.get_logger()


class StoppedError(OctostreamError):
    """Somebody else ended the command: that says nothing about how it would have gone."""


def users_of(lookup: Lookup, facts: RunFacts) -> Sequence[str]:
    """Ask ICAT for the users of a run's investigation, each once, by name.

    Raises
    ------
    Exception
        As `Registration.deliver`.
    """
    investigation = lookup.investigation(facts.investigation, facts.visit)
    found = lookup.client.search(
        f"SELECT o FROM InvestigationUser o JOIN o.investigation AS i WHERE i.id = {investigation.id} INCLUDE o.user"
    )
    return sorted({str(link.user.name) for link in found if link.user is not None})


def run_owner_command(command: OwnerCommand, timeout_s: float) -> str:
    """Run a command without a shell; gives why it failed, or nothing.

    It does not see who octostream logs in as. After the time given it is killed, with all that it started.

    Raises
    ------
    StoppedError
        It was ended by a signal that did not come from here, as when a service is stopped with all that it started.
    OSError
        The disk has no room for what it says.
    """
    if not command.arguments:
        return "ICAT names no user of the investigation that the account may see"
    environment = {k: v for k, v in os.environ.items() if k not in (USERNAME_VARIABLE, PASSWORD_VARIABLE)}
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                command.arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                env=environment,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:  # not there, not to be executed, an argument that no program can have
            return f"{command.arguments[0]} cannot be run: {error}"
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return f"{command.arguments[0]} did not end within {timeout_s:g} s"
        finally:
            # It has ended, and so has all that it started; or it is another's by now, as with sudo.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                process.wait(KILLED_S)
        if code == 0:
            return f"left out: {', '.join(map(ascii, command.left_out))}" if command.left_out else ""
        if -code in _STOPS:
            raise StoppedError(f"{command.arguments[0]} was ended by {signal.Signals(-code).name}", "run it again")
        said.seek(0)
        last = said.read()[-_LONGEST_WHY:].decode(errors="replace").strip().splitlines()[-1:]
        return f"{command.arguments[0]} ended with code {code}" + (f": {last[0]}" if last else "")


class Owners:
    """Runs the command for one run after the other, in a thread and with a connection of its own.

    That a command is to be run is noted on disk first: whatever ends the process meanwhile, the next life runs it.

    Parameters
    ----------
    settings : CatalogueSettings
    connection : Connection
        Nobody else's.
    notes : OwnerNotes
    facts_of : callable
        Gives the facts of a run as they are by now; None of one that is not there any more.
    """

    def __init__(
        self,
        settings: CatalogueSettings,
        connection: Connection,
        notes: OwnerNotes,
        facts_of: Callable[[str], RunFacts | None],
    ) -> None:
        self._settings = settings
        self._connection = connection
        self._notes = notes
        self._facts_of = facts_of
        self._changed = threading.Condition()
        self._queue = OwnerQueue()
        self._queue.load(notes.not_run())
        self._ending = False
        self._over = False
        self._thread = threading.Thread(target=self._work, name="owners", daemon=True)
        self._thread.start()

    def look_after(self, run: str) -> None:
        """Have the command run for a run soon, once for all that was asked meanwhile; does not wait for it."""
        with self._changed:
            self._note(run, NOT_RUN)
            self._queue.ask(run)
            self._changed.notify()

    def finish(self, timeout_s: float) -> None:
        """Wait, at most so long, until what is due is done; the rest is left to the next life."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        self._thread.join(timeout_s)
        with self._changed:
            self._over = True  # what the facts are read from is closed now; what waits keeps its note

    def _work(self) -> None:
        while (run := self._next()) is not None:
            try:
                command = self._command(run)
                why = "" if command is None else self._outcome(command)
            except Exception as error:  # noqa: BLE001 - whatever happens is no reason to end: it is judged
                self._not_run(run, error)
            else:
                self._settle(run, why)

    def _next(self) -> str | None:
        """Give the next run that is due; None at the end, when none is: a server that is away is not waited for."""
        with self._changed:
            while not self._over:
                if (run := self._queue.take(monotonic_s())) is not None:
                    return run
                if self._ending:
                    return None
                self._changed.wait(self._queue.wait_s(monotonic_s()))
            return None

    def _command(self, run: str) -> OwnerCommand | None:
        """Give what is to be run; None for a run that is not there any more."""
        if (facts := self._facts_of(run)) is None:
            return None
        return owner_command(self._settings.owner_command, facts, self._users(facts))

    def _outcome(self, command: OwnerCommand) -> str:
        try:
            return run_owner_command(command, self._settings.owner_s)
        except OSError as error:  # of this machine: ICAT has answered
            return f"{command.arguments[0]} cannot be run: {error}"

    def _not_run(self, run: str, error: Exception) -> None:
        with self._changed:
            failure = self._queue.failed(run, error, monotonic_s())
        if failure.kind == "park":
            self._settle(run, failure.reason)
        else:
            log.warning("the data of a run are not handed over yet", run=run, why=failure.reason)

    def _settle(self, run: str, why: str) -> None:
        if why:
            log.warning("the owners of a run's data are not as they should be", run=run, why=why)
        with self._changed:
            self._queue.done(run)
            # Else it is to be run once more, or failed because the service ends: so it is left to the next life.
            if run not in self._queue and not (self._over and why):
                self._note(run, why)

    def _note(self, run: str, why: str) -> None:
        try:
            self._notes.note(run, why)
        except (OctostreamError, OSError) as error:
            log.warning("it cannot be noted how owner_command went", run=run, why=str(error))

    def _users(self, facts: RunFacts) -> Sequence[str]:
        """Ask for the users; where the session has ended meanwhile, begin another and ask again."""
        lookup = Lookup(self._connection.client(), self._settings.facility)
        try:
            return users_of(lookup, facts)
        except Exception as error:
            if judge(error, 1).kind != "login":
                raise
        self._connection.login()
        return users_of(lookup, facts)
