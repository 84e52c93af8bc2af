"""Processes die and stand still at random; what was acknowledged is there bit for bit, everything else is named.

The seed of a round stands in the name of its test. The long form goes on until 200 processes were killed, with small
frames; with ``OCTOSTREAM_CHAOS=camera`` it is 20, with frames of 2048 x 2048.
"""

import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from octostream.sinks.reading import read_ledger

from ..system.conftest import Command, Service, acquire
from .conftest import camera_form, long_form, seeds
from .kills import Tally, drawn, seeds_with
from .process_round import Played
from .promise import check_account, check_data, check_registry, leftovers
from .tapped import known

CAMERA = camera_form()
LONG = long_form() or CAMERA
KILLS = 20 if CAMERA else 200
#: Stacks of ten frames; the memory of an agent holds two hundred, of a camera's own a hundred.
SIZE, TIMES, MEMORY_MIB = ((2048, 2048), 100, 900) if CAMERA else ((256, 192), 300, 20) if LONG else ((128, 96), 90, 5)
HOW = {"fewest": 12, "most": 18} if LONG else {"stops_past_the_lease": 0.0}
SOURCES = tuple(f"simulated:size={SIZE[0]}x{SIZE[1]},z=10,t={TIMES},seed={seed},cells=9" for seed in (7, 8))
#: In the short form: one round in which every part is killed, and a worker stands still.
SHORT = [388]

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


def pytest_generate_tests(metafunc):
    if "number" in metafunc.fixturenames:
        # Faults whose victim is over by then are not done: more are planned than are asked for.
        usual = seeds_with(int(1.2 * KILLS), **HOW) if LONG else SHORT
        metafunc.parametrize("number", seeds(metafunc.config) if metafunc.config.getoption("--seeds") else usual)


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """The stores of the same runs when nothing happens to them."""
    service = Service(tmp_path_factory.mktemp("calm"))
    stores = []
    try:
        for k, source in enumerate(SOURCES):
            code, agent = acquire(service, source, "--name", f"calm-{k}", "--keep-raw", timeout=300)
            assert code == 0, agent.err
            stores.append(Path(agent.json()["store"]))
        yield stores
    finally:
        service.end()


@pytest.fixture(scope="module")
def tally(campaign):
    """What the rounds did; told at the end."""
    tally = Tally()
    yield tally
    campaign += tally.rows()


@pytest.fixture
def folder():
    """A folder with a short name: addresses of sockets lie in it, and they are short."""
    made = Path(tempfile.mkdtemp(prefix="kills-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def test_processes_die_and_stand_still(number, folder, calm, tally):
    plan = drawn(number, **HOW)
    print(plan)
    played = Played(plan, folder, SOURCES, ("--rate", "100", "--memory-mib", MEMORY_MIB))
    kept = False
    try:
        try:
            played.play()
        finally:
            played.end()
        for instrument, undisturbed in zip(played.instruments, calm, strict=False):
            check(played, instrument, undisturbed)
        assert not leftovers(folder)
        kept = True
    finally:
        print([(fault.name, fault.victim, seconds) for fault, seconds in played.struck])
        tally.take(played.struck, violated=not kept)


def check(played, instrument, undisturbed):
    """Check one run of a round against the promise."""
    complete = read_ledger(instrument.store).status == "complete"
    last = instrument.codes[-1]
    assert last == (0 if complete else 1) or (instrument.killed and last == -signal.SIGKILL), instrument.process.err
    stored = check_account(instrument.store, known(instrument.log), killed=instrument.killed)
    check_data(instrument.store, undisturbed, stored)
    check_registry(played.data, instrument.store)
    assert not list(instrument.spools.glob("*")), "the spool of a sealed run is removed"
    verified = Command("verify", instrument.store, "--json")
    try:
        assert verified.wait(120) == (0 if complete else 1), verified.err
        assert verified.json()["ok"], verified.json()["problems"]
    finally:
        verified.end()


def test_a_seed_draws_one_round():
    rounds = [drawn(number, **HOW) for number in range(1, 60)]
    assert rounds == [drawn(number, **HOW) for number in range(1, 60)]
    victims = {fault.victim for r in rounds for fault in r.faults if fault.number == signal.SIGKILL}
    assert victims == {"agent", "worker", "head", "web", "service"}
    assert sum(drawn(number).kills for number in seeds_with(200)) >= 200
