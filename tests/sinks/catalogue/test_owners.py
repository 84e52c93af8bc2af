"""Handing the data of runs over: the command as it is run, and what happens where it fails."""

import fcntl
import json
import os
import signal
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from octostream.sinks.catalogue.connection import Connection
from octostream.sinks.catalogue.delivery import Delivery
from octostream.sinks.catalogue.intent import Intent
from octostream.sinks.catalogue.lookup import Lookup
from octostream.sinks.catalogue.outbox import Registered
from octostream.sinks.catalogue.owner_command import owner_command
from octostream.sinks.catalogue.owner_notes import NOT_RUN, OwnerNotes
from octostream.sinks.catalogue.owners import Owners, StoppedError, run_owner_command, users_of
from octostream.sinks.catalogue.settings import PASSWORD_VARIABLE, USERNAME_VARIABLE, CatalogueSettings, Credentials
from octostream.sinks.catalogue.weather import Weather
from octostream.stream.errors import StoreError
from octostream.tests.icat_server.seed import FACILITY, PASSWORDS, PROPOSAL
from pydantic import ValidationError

from .facts import facts_of, standing_of

FACTS = facts_of(0, investigation=PROPOSAL, visit="1", instrument="")
TEMPLATE = ("setfacl", "-R", "--modify=u:{users}:rX", "--", "{store}")
RECORD = (
    "import json, os, sys; f = open(sys.argv[1], 'a'); "
    "f.write(json.dumps([sys.argv[2:], sorted(k for k in os.environ if 'ICAT' in k)]) + chr(10))"
)


def test_the_argument_with_users_is_repeated_once_a_user():
    filled = owner_command(TEMPLATE, FACTS, ["db/alice", "simple/bob", "ldap/alice", "carol"])
    users = [f"--modify=u:{login}:rX" for login in ("alice", "bob", "carol")]
    assert filled.arguments == ("setfacl", "-R", *users, "--", FACTS.store)
    assert filled.left_out == ()


def test_without_users_there_is_nothing_to_run_where_users_are_named():
    assert owner_command(TEMPLATE, FACTS, []).arguments == ()
    assert owner_command(("own", "{investigation}/{visit}"), FACTS, []).arguments == ("own", f"{PROPOSAL}/1")


@pytest.mark.parametrize("login", ["-rf", "a:rwx,u:eve", "a,b", "", "a\nb", "a\0b", "a/../b", "\x1b[2J"])
def test_what_the_command_could_take_for_something_else_is_left_out(login):
    filled = owner_command(TEMPLATE, FACTS, ["db/" + login, "db/alice"])
    assert filled.left_out == (login,)
    assert [a for a in filled.arguments if a.startswith("--modify")] == ["--modify=u:alice:rX"]


@given(st.lists(st.text(max_size=20), max_size=5), st.text(max_size=20))
def test_every_name_stays_one_argument(users, name):
    facts = facts_of(0, name=name, store="{users}{run}")
    filled = owner_command(("own", "{users}", "{name}", "{store}"), facts, ["db/" + user for user in users])
    kept = [u for u in dict.fromkeys(users) if u not in filled.left_out]
    assert filled.arguments == (("own", *kept, name, "{users}{run}") if kept else ())


def test_a_template_that_names_what_nobody_knows_is_refused():
    known = {"url": "https://icat.example.org", "facility": "F"}
    assert CatalogueSettings(**known, owner_command=TEMPLATE).owner_command == TEMPLATE
    with pytest.raises(ValidationError, match="means nothing"):
        CatalogueSettings(**known, owner_command=("chown", "{user}"))


HOSTILE = ("alice smith", "$(touch x)", "`id`", "; rm -rf ~", "o'brien", '"', "*", "ü")


@pytest.fixture
def recorder(tmp_path):
    """Gives a template that records its arguments, and what was recorded."""
    file = tmp_path / "told"
    return (sys.executable, "-c", RECORD, str(file)), lambda: [
        json.loads(line) for line in (file.read_text().splitlines() if file.exists() else ())
    ]


def test_hostile_names_arrive_as_they_are_and_no_secret_does(recorder, monkeypatch):
    monkeypatch.setenv(USERNAME_VARIABLE, "ingester")
    monkeypatch.setenv(PASSWORD_VARIABLE, "secret")
    command, recorded = recorder
    filled = owner_command((*command, "{users}", "{store}"), FACTS, HOSTILE)
    assert run_owner_command(filled, 60) == ""
    assert recorded() == [[[*HOSTILE, FACTS.store], []]]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("/no/such/program",), "/no/such/program cannot be run: "),
        (
            (sys.executable, "-c", "import sys; print('no such user', file=sys.stderr); sys.exit(3)"),
            "code 3: no such u",
        ),
        ((sys.executable, "-c", "import threading; threading.Event().wait()"), "did not end within 1 s"),
    ],
)
def test_a_command_that_fails_says_why(arguments, why):
    assert why in run_owner_command(owner_command(arguments, FACTS, []), 1)


def _of_another(*_):
    raise PermissionError(1, "Operation not permitted")


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_a_command_that_is_anothers_by_now_holds_nobody_up(monkeypatch, tmp_path):
    """As sudo makes it: its group cannot be killed."""
    monkeypatch.setattr("octostream.sinks.catalogue.owners.os.killpg", _of_another)
    monkeypatch.setattr("octostream.sinks.catalogue.owners.KILLED_S", 0.1)
    assert run_owner_command(owner_command((sys.executable, "-c", ""), FACTS, []), 60) == ""
    gate = tmp_path / "gate"
    endless = owner_command(gated(gate, sys.executable, "-c", ""), FACTS, [])
    try:
        assert "did not end within 1 s" in run_owner_command(endless, 1)
    finally:
        gate.touch()


def test_users_are_those_of_the_investigation_and_visit(connection, ready):
    lookup = Lookup(connection.client(), FACILITY)
    assert users_of(lookup, FACTS) == ["simple/alice"]
    assert users_of(lookup, facts_of(1, investigation=PROPOSAL, visit="2")) == ["simple/bob"]


@pytest.fixture
def owners(settings, connection, tmp_path):
    made = []

    def start(command, runs=(FACTS,), facts=None, by=connection, **changes):
        told, known = settings.model_copy(update={"owner_command": command, **changes}), {r.run: r for r in runs}
        made.append(Owners(told, by, OwnerNotes(tmp_path / "runs.sqlite"), facts or known.get))
        return made[-1]

    yield start
    for one in made:
        one.finish(60)


def test_what_fails_is_noted_until_it_goes_well(owners, ready, recorder, tmp_path, icat_server):
    command, recorded = recorder
    notes = OwnerNotes(tmp_path / "runs.sqlite")
    elsewhere = facts_of(1, investigation=PROPOSAL, visit="9")
    failing = owners((sys.executable, "-c", "raise SystemExit(4)", "{users}"), runs=(FACTS, elsewhere))
    failing.look_after(FACTS.run)
    failing.look_after(elsewhere.run)
    failing.finish(60)
    noted = notes.read()
    assert "ended with code 4" in noted[FACTS.run]
    assert "has no investigation" in noted[facts_of(1).run]
    icat_server.expire_sessions()
    working = owners((*command, "{users}", "{name}"))
    working.look_after(FACTS.run)
    working.finish(60)
    assert recorded() == [[["alice", "run0"], []]]
    assert set(notes.read()) == {facts_of(1).run}


def test_a_disk_without_room_costs_the_command_of_one_run(owners, ready, recorder, tmp_path, monkeypatch):
    command, recorded = recorder
    with monkeypatch.context() as full:
        full.setattr("octostream.sinks.catalogue.owners.tempfile.TemporaryFile", _no_room)
        working = owners((*command, "{users}", "{name}"))
        working.look_after(FACTS.run)
        deadline = time.monotonic() + 20
        while NOT_RUN in OwnerNotes(tmp_path / "runs.sqlite").read().values() and time.monotonic() < deadline:
            threading.Event().wait(0.02)
    assert "No space left" in OwnerNotes(tmp_path / "runs.sqlite").read()[FACTS.run]
    working.look_after(FACTS.run)
    working.finish(60)
    assert recorded() == [[["alice", "run0"], []]]


def _no_room():
    raise OSError(28, "No space left on device")


def test_whoever_asks_does_not_wait(owners, ready, tmp_path):
    """The command waits for a file that is made only after the caller has gone on."""
    gate = tmp_path / "gate"
    waits = f"import os, threading\nwhile not os.path.exists({str(gate)!r}): threading.Event().wait(0.01)"
    slow = owners((sys.executable, "-c", waits), owner_s=60.0)
    for _ in range(3):
        slow.look_after(FACTS.run)
    assert threading.active_count() > 1
    gate.touch()
    slow.finish(60)
    assert OwnerNotes(tmp_path / "runs.sqlite").read() == {}


def gated(gate, *command):
    """Give a template of a command that makes a file, waits for another, and then does what another command does.

    It also ends when its own file is gone, with the folder of a test that is over: nobody else might end it.
    """
    mark = f"{gate}.begun"
    begun = f"import os, sys, threading\nopen({mark!r}, 'w')\n"
    still = f"os.path.exists({mark!r}) and not os.path.exists({str(gate)!r})"
    waits = f"{begun}while {still}: threading.Event().wait(0.01)\n"
    return (command[0], "-c", waits + command[2], *command[3:])


def _await(done):
    deadline = time.monotonic() + 60
    while not done() and time.monotonic() < deadline:
        threading.Event().wait(0.01)


def test_what_was_not_run_is_noted_and_run_in_the_next_life(owners, ready, recorder, tmp_path):
    command, recorded = recorder
    gate, closed, notes = tmp_path / "gate", threading.Event(), OwnerNotes(tmp_path / "runs.sqlite")
    runs = [facts_of(n, investigation=PROPOSAL, visit="1") for n in range(3)]
    asked = []

    def facts(run):
        asked.append(run)
        if closed.is_set():
            raise StoreError("the outbox is closed")
        return next(one for one in runs if one.run == run)

    notes.note("failed", "code 4")
    killed = owners((*gated(gate, *command), "{run}"), facts=facts, owner_s=60.0)
    for facts in runs:
        killed.look_after(facts.run)
    assert notes.read() == {facts.run: NOT_RUN for facts in runs} | {"failed": "code 4"}
    _await((tmp_path / "gate.begun").exists)
    killed.finish(0)
    closed.set()
    gate.touch()
    killed.finish(60)
    assert asked == [runs[0].run]
    assert notes.not_run() == [facts.run for facts in runs[1:]]
    owners((*command, "{run}"), runs[1:]).finish(60)
    assert {run for (run,), _ in recorded()} == {facts.run for facts in runs}
    assert notes.read() == {"failed": "code 4"}, "that waits for a person"


@pytest.mark.parametrize("end", ["raise SystemExit(4)", "os.kill(os.getpid(), 15)"])
def test_a_command_that_fails_while_the_service_ends_is_run_in_the_next_life(owners, ready, tmp_path, end):
    """A service that is stopped is signalled with all that it started, or what the command needs goes with it."""
    gate, notes = tmp_path / "gate", OwnerNotes(tmp_path / "runs.sqlite")
    ending = owners(gated(gate, sys.executable, "-c", end), owner_s=60.0)
    ending.look_after(FACTS.run)
    _await((tmp_path / "gate.begun").exists)
    ending.finish(0)
    gate.touch()
    ending.finish(60)
    assert notes.not_run() == [FACTS.run]


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP, signal.SIGINT])
def test_a_command_that_was_stopped_has_not_failed(by):
    unheeded = (
        "import signal; signal.signal(2, signal.SIG_DFL); " if by == signal.SIGINT else ""
    )  # else Python takes it
    kills = (sys.executable, "-c", f"import os; {unheeded}os.kill(os.getpid(), {by:d})")
    with pytest.raises(StoppedError, match=f"was ended by {by.name}"):
        run_owner_command(owner_command(kills, FACTS, []), 60)


def test_a_command_that_crashes_has_failed():
    crashes = (sys.executable, "-c", "import os; os.kill(os.getpid(), 6)")
    assert "ended with code -6" in run_owner_command(owner_command(crashes, FACTS, []), 60)


class Counted(Connection):
    """A connection that knows how often it was asked for."""

    asked = 0

    def client(self):
        self.asked += 1
        return super().client()


def test_a_service_that_starts_while_icat_is_away_runs_the_command_when_it_is_back(
    owners, ready, settings, recorder, tmp_path, icat_server
):
    command, recorded = recorder
    notes = OwnerNotes(tmp_path / "runs.sqlite")
    runs = [facts_of(n, investigation=PROPOSAL, visit="1") for n in range(2)]
    for facts in runs:
        notes.note(facts.run, NOT_RUN)
    icat_server.refuse()
    by = Counted(settings.model_copy(update={"timeout_s": 20.0}), Credentials("ingester", PASSWORDS["ingester"]))
    waiting = owners((*command, "{users}", "{run}"), runs, by=by)
    _await(lambda: by.asked > 1)  # the first was judged, then
    assert notes.not_run() == [facts.run for facts in runs]
    icat_server.accept()
    _await(lambda: not notes.read())
    waiting.finish(60)
    assert sorted(recorded()) == [[["alice", facts.run], []] for facts in runs]


def test_icat_that_drops_out_before_it_is_asked_for_the_users_is_waited_for(
    owners, ready, connection, recorder, tmp_path, icat_server, monkeypatch
):
    command, recorded = recorder
    notes = OwnerNotes(tmp_path / "runs.sqlite")
    failed, away = threading.Event(), Weather.away
    monkeypatch.setattr(Weather, "away", lambda self, now_s: (away(self, now_s + 3600), failed.set()))
    icat_server.refuse()
    waiting = owners((*command, "{run}"))
    waiting.look_after(FACTS.run)
    assert failed.wait(60)
    assert notes.not_run() == [FACTS.run]
    icat_server.accept()
    waiting.look_after(FACTS.run)  # as the service does when ICAT has been told of a run: it is back, then
    _await(lambda: not notes.read())
    assert recorded() == [[[FACTS.run], []]]


def test_the_end_does_not_wait_for_icat(owners, ready, recorder, tmp_path, icat_server, monkeypatch):
    failed, away = threading.Event(), Weather.away
    monkeypatch.setattr(Weather, "away", lambda self, now_s: (away(self, now_s + 3600), failed.set()))
    icat_server.refuse()
    waiting = owners((*recorder[0], "{run}"))
    waiting.look_after(FACTS.run)
    assert failed.wait(60)
    waiting.finish(60)
    assert not waiting._thread.is_alive()
    assert OwnerNotes(tmp_path / "runs.sqlite").not_run() == [FACTS.run]


def test_a_command_that_was_stopped_is_run_again(owners, ready, recorder, tmp_path):
    command, recorded = recorder
    mark, notes = tmp_path / "mark", OwnerNotes(tmp_path / "runs.sqlite")
    once = f"import os\nif not os.path.exists({str(mark)!r}): open({str(mark)!r}, 'w'); os.kill(os.getpid(), 15)\n"
    owners((command[0], "-c", once + command[2], *command[3:], "{run}")).look_after(FACTS.run)
    _await(lambda: not notes.read())
    assert recorded() == [[[FACTS.run], []]]


def test_notes_are_locked_by_whoever_may_only_read_the_lock(tmp_path, monkeypatch):
    """As the service is where `catalogue owners` was first run by root."""
    locked = []

    def lock(file, how):
        locked.append((fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE, how))
        flock(file, how)

    flock = fcntl.flock
    monkeypatch.setattr("octostream.sinks.catalogue.owner_notes.fcntl.flock", lock)
    (tmp_path / "owners.lock").touch(0o444)
    notes = OwnerNotes(tmp_path / "runs.sqlite")
    notes.note(FACTS.run, NOT_RUN)
    assert notes.not_run() == [FACTS.run]
    assert locked == [(os.O_RDONLY, fcntl.LOCK_EX)], "root may write whatever the mode"


def test_what_is_asked_for_again_meanwhile_is_done_once_more(owners, ready, recorder, tmp_path):
    command, recorded = recorder
    gate, notes = tmp_path / "gate", OwnerNotes(tmp_path / "runs.sqlite")
    one = owners((*gated(gate, *command), "{run}"), owner_s=60.0)
    one.look_after(FACTS.run)
    _await((tmp_path / "gate.begun").exists)
    for _ in range(3):
        one.look_after(FACTS.run)
    gate.touch()
    one.finish(60)
    assert recorded() == [[[FACTS.run], []]] * 2
    assert notes.read() == {}


def test_the_service_runs_what_an_earlier_life_did_not_come_to(outbox, ready, settings, recorder, tmp_path):
    command, recorded = recorder
    notes = OwnerNotes(tmp_path / "runs.sqlite")
    outbox.write([Intent("opened", FACTS)], 1)
    outbox.delivered(outbox.claim(1, 1), Registered({"reduced": 1}, complete=False, at_ns=1))
    for run in ("removed meanwhile", FACTS.run):
        notes.note(run, NOT_RUN)
    told = settings.model_copy(update={"owner_command": (*command, "{run}"), "timeout_s": 20.0})
    delivery = Delivery(tmp_path / "runs.sqlite", told, Credentials("ingester", PASSWORDS["ingester"]))
    running = threading.Thread(target=delivery.run)
    running.start()
    try:
        deadline = time.monotonic() + 60
        while notes.read() and time.monotonic() < deadline:
            threading.Event().wait(0.02)
    finally:
        delivery.stop()
        running.join(60)
    assert recorded() == [[[FACTS.run], []]]
    assert notes.read() == {}


def test_the_service_hands_over_when_a_run_is_there_and_when_it_is_over(outbox, ready, settings, recorder, tmp_path):
    command, recorded = recorder
    told = settings.model_copy(update={"owner_command": (*command, "{users}", "{run}"), "timeout_s": 20.0})
    delivery = Delivery(tmp_path / "runs.sqlite", told, Credentials("ingester", PASSWORDS["ingester"]))
    running = threading.Thread(target=delivery.run)
    running.start()
    try:
        for kinds in (["opened"], ["grown", "sealed"]):
            before = len(recorded())
            outbox.write([Intent(kind, FACTS) for kind in kinds], 1)
            deadline = time.monotonic() + 60
            while len(recorded()) == before and time.monotonic() < deadline:
                threading.Event().wait(0.02)
    finally:
        delivery.stop()
        running.join(60)
    assert recorded() == [[["alice", FACTS.run], []]] * 2
    assert standing_of(outbox.path).state == "complete"
