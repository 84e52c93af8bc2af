"""Instruments with keys: who may record, where, and that nobody ever sees a secret."""

import json
import os
import stat
import tomllib
from pathlib import Path

import msgpack
import numpy as np
import psutil
import pytest
from octostream.acquire.recording import open_run
from octostream.stream import key_files
from octostream.stream import messages as m
from octostream.stream.agent_protocol import Timing
from octostream.stream.errors import RefusedError
from octostream.stream.link import Dealer, context
from octostream.stream.model import Plan
from octostream.stream.wire import decode, encode
from zmq.utils import z85

from .conftest import Command, counter, until

pytestmark = pytest.mark.system

PLAN = Plan((2, 1, 20, 64, 64))
QUICK = "simulated:size=64x64,z=20,t=2"


def octostream(*arguments, code=0):
    """Run a command to its end."""
    made = Command(*arguments)
    try:
        assert made.wait(60) == code, (made.out, made.err)
    finally:
        made.end()
    return made


def record(service, key, investigation="local", frames=PLAN.frames, **options):
    with open_run(service.ingest, PLAN, investigation=investigation, key=key, **options) as run:
        for _ in range(frames):
            run.send(np.full((64, 64), 300, np.uint16))
    return run


# --- the commands -----------------------------------------------------------------------------------------------


def test_commands_make_allow_list_and_revoke(instruments):
    listed = instruments.keys("list", "--json").json()
    assert listed == {"in_use": False, "instruments": []}
    file = instruments.new("lattice")
    folder = instruments.data / ".octostream" / "keys"
    for secret in (file, folder / "server.key"):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    public = tomllib.loads(file.read_text())["public"]
    assert "already" in instruments.keys("new", "lattice", "--dir", instruments.folder, code=2).err[0]
    assert "--any-investigation" in instruments.keys("allow", file, code=2).err[0]
    instruments.keys("allow", file, "--investigation", "a", "--investigation", "b")
    instruments.keys("allow", "ab" * 32, "--instrument", "confocal", "--any-investigation")
    listed = instruments.keys("list", "--json").json()
    assert listed["in_use"]
    assert listed["instruments"] == [
        {"instrument": "confocal", "public": "ab" * 32, "investigations": None},
        {"instrument": "lattice", "public": public, "investigations": ["a", "b"]},
    ]
    text = instruments.keys("list").out
    assert any("lattice" in line and public in line and "a, b" in line for line in text)
    instruments.keys("revoke", "lattice")
    assert "no key of 'lattice'" in instruments.keys("revoke", "lattice", code=2).err[0]
    instruments.keys("revoke", "confocal")
    assert instruments.keys("list", "--json").json() == {"in_use": True, "instruments": []}
    assert "nobody can record" in instruments.keys("list").out[0]


def test_commands_refuse_what_is_wrong_with_one_line(instruments):
    file = instruments.new("lattice")
    for arguments in (
        ("new", "a/b"),
        ("allow", file, "--instrument", "other", "--any-investigation"),
        ("allow", "ab" * 32, "--any-investigation"),
        ("allow", "ab" * 31, "--instrument", "x", "--any-investigation"),
        ("allow", instruments.folder / "none.key", "--instrument", "x", "--any-investigation"),
        ("allow", file, "--investigation", "../x"),
    ):
        said = instruments.keys(*arguments, code=2)
        assert len(said.err) == 1
        assert said.err[0].startswith("octostream: ")
    file.chmod(0o644)
    wrong = ("allow", file, "--any-investigation")
    assert "chmod 600" in instruments.keys(*wrong, code=2).err[0]
    said = octostream("keys", *wrong, "--data", instruments.data, code=2)
    assert (said.out, said.err) == ([], [f"octostream: others may read or change key file {file}: chmod 600 {file}"])


# --- the tier ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "*", "lo", "[::]", "10.1.2.3", "localhost"])
def test_without_keys_nothing_but_loopback(tmp_path, host):
    said = octostream("serve", "--data", tmp_path, "--http", "127.0.0.1:0", "--ingest", f"tcp://{host}:0", code=2)
    (line,) = said.err
    assert "no key is in use" in line
    assert "octostream keys" in line


def test_broken_keys_stop_the_start_with_one_line(instruments):
    instruments.new("lattice", "*")
    folder = instruments.data / ".octostream" / "keys"
    serve = ("serve", "--data", instruments.data, "--http", "127.0.0.1:0", "--ingest", "tcp://127.0.0.1:0")
    (folder / "server.key").chmod(0o640)
    assert "chmod 600" in octostream(*serve, code=2).err[-1]
    (folder / "server.key").rename(folder / "away")
    assert "no key file" in octostream(*serve, code=2).err[-1]
    (folder / "away").rename(folder / "server.key")
    (folder / "server.key").chmod(0o600)
    (folder / "allowed.toml").write_text("[")
    assert "damaged" in octostream(*serve, code=2).err[-1]


def test_a_run_with_a_key_and_no_secret_anywhere(serve, instruments):
    """One look at everything that a whole run leaves and says."""
    file = instruments.new("lattice", "mine")
    stranger = instruments.new("stranger")
    service = serve("--workers", "2", data=instruments.data)
    good = octostream(
        "acquire", QUICK, "--to", service.ingest, "--key", file, "--investigation", "mine", "--json", code=0
    )
    elsewhere = octostream("acquire", QUICK, "--to", service.ingest, "--key", file, "--investigation", "theirs", code=1)
    assert "'lattice' may not record in investigation 'theirs'" in elsewhere.err[-1]
    unknown = octostream("acquire", QUICK, "--to", service.ingest, "--key", stranger, code=1)
    assert "does not allow the key of 'stranger'" in unknown.err[-1]
    nobody = octostream("acquire", QUICK, "--to", service.ingest, code=1)
    assert "asks for a key" in nobody.err[-1]

    store = Path(good.json()["store"])
    assert json.loads((store / "zarr.json").read_text())["attributes"]["octostream"]["instrument"] == "lattice"
    (run,) = service.get("/api/v1/runs").json()["runs"]
    assert (run["instrument"], run["status"]) == ("lattice", "complete")
    until(lambda: counter(service, "refused_connections") >= 2)

    texts = [service.get(p).text for p in ("/", "/metrics", "/api/v1/status", "/api/v1/runs", "/openapi.json")]
    for pid in [service.process.pid, *(p.pid for p in psutil.Process(service.process.pid).children())]:
        texts += [Path(f"/proc/{pid}/{what}").read_bytes().decode(errors="replace") for what in ("cmdline", "environ")]
    service.end()
    for command in (service, good, elsewhere, unknown, nobody):
        texts += command.out + command.err
    texts += instruments.said
    secrets = [tomllib.loads(f.read_text())["secret"] for f in (file, stranger, keys_of(instruments) / "server.key")]
    own = {keys_of(instruments) / "server.key"}
    texts += [f.read_bytes().decode("latin-1") for f in instruments.data.rglob("*") if f.is_file() and f not in own]
    everything = "\n".join(texts)
    assert tomllib.loads(file.read_text())["public"] in everything  # what is looked for would be found
    for secret in secrets:
        raw = bytes.fromhex(secret)
        for form in (secret, secret.upper(), z85.encode(raw).decode(), raw.decode("latin-1"), repr(raw)[2:-1]):
            assert form not in everything


def keys_of(instruments):
    return instruments.data / ".octostream" / "keys"


def test_what_is_revoked_ends_and_others_go_on(serve, instruments):
    file, other = instruments.new("lattice", "*"), instruments.new("confocal", "*")
    service = serve(data=instruments.data)
    pixels = np.full((64, 64), 300, np.uint16)
    with open_run(service.ingest, PLAN, key=other) as going:
        going.send(pixels)
        with open_run(service.ingest, PLAN, key=file) as run:
            run.send(pixels)
            instruments.keys("revoke", "lattice")
            until(lambda: run._agent.error)
            with pytest.raises(RefusedError, match="not allowed any more"):
                run.send(pixels)
        with pytest.raises(RefusedError, match="does not allow the key of 'lattice'"):
            record(service, file)
        for _ in range(PLAN.frames - 1):
            going.send(pixels)
    assert going.sealed.status == "complete"
    instruments.keys("allow", file, "--any-investigation")
    assert record(service, file).sealed.status == "complete"


def test_keys_taken_into_use_let_the_old_service_as_it_was(serve, instruments):
    """What is asked of agents changes at a start, not under a run that is recording."""
    service = serve(data=instruments.data)
    file = instruments.new("lattice", "*")
    assert record(service, None).sealed.status == "complete"
    service.end()
    service = serve(data=instruments.data)
    assert record(service, file).sealed.status == "complete"
    with pytest.raises(RefusedError, match="asks for a key"):
        record(service, None, timing=Timing(connect_s=5))


class Peer:
    """Somebody who speaks the protocol by hand, with a key."""

    def __init__(self, endpoint, key):
        self.context = context()
        self.dealer = Dealer(self.context, endpoint, key=key_files.read_instrument(key))

    def ask(self, message):
        self.dealer.send(encode(message) if not isinstance(message, list) else message)
        return decode(until(self.dealer.receive, 20))

    def close(self):
        self.dealer.close()
        self.context.term()


@pytest.fixture
def peer():
    made = []

    def connect(endpoint, key):
        made.append(Peer(endpoint, key))
        return made[-1]

    yield connect
    for one in made:
        one.close()


def test_another_key_cannot_take_a_run_over_with_its_token(serve, instruments, peer):
    mine, other = instruments.new("lattice", "*"), instruments.new("confocal", "*")
    service = serve(data=instruments.data)
    pixels = np.full((64, 64), 300, np.uint16)
    with open_run(service.ingest, PLAN, key=mine) as run:
        run.send(pixels)
        opening, worker = run._agent._protocol.opening, run._agent.welcome.workers[0].endpoint
        thief = peer(service.ingest, other)
        assert thief.ask(opening) == m.NOT_YOURS
        at_worker = peer(worker, other)
        for message in (m.Join(run.run, 99, opening.token), m.FrameData(run.run, 1, 1, 0, 0, pixels.tobytes())):
            assert at_worker.ask(message).what == m.NOT_YOURS.what
        for _ in range(PLAN.frames - 1):
            run.send(pixels)
    assert run.sealed.status == "complete"
    assert thief.ask(opening) == m.NOT_YOURS

    with open_run(service.ingest, PLAN, key=mine) as run:
        run.send(pixels)
        opening = run._agent._protocol.opening
    assert run.sealed.status == "incomplete"
    again = m.Open(opening.token, "", "local", PLAN, {}, keep_raw=False, resume=run.run)
    assert thief.ask(again) == m.NOT_YOURS
    service.end()  # a head that comes back knows whose its runs were, even one that it could not remember at its start
    token = Path(run.store) / ".octostream" / "token"
    token.rename(token.with_name("away"))
    service = serve(data=instruments.data)
    token.with_name("away").rename(token)
    assert peer(service.ingest, other).ask(again) == m.NOT_YOURS
    assert isinstance(peer(service.ingest, mine).ask(again), m.Welcome | m.Pong)


def test_a_valid_key_with_illegal_messages_is_told_and_counted(serve, instruments, peer):
    mine, other = instruments.new("lattice", "*"), instruments.new("confocal", "*")
    service = serve(data=instruments.data)
    with open_run(service.ingest, PLAN, key=mine) as run:
        worker = run._agent.welcome.workers[0].endpoint
        for endpoint in (service.ingest, worker):
            bad = peer(endpoint, other)
            for parts in ([b""], [b"a", b"b", b"c"], [msgpack.packb({"v": 1, "type": "Bang"})]):
                assert isinstance(bad.ask(parts), m.Refuse)
        for _ in range(PLAN.frames):
            run.send(np.full((64, 64), 300, np.uint16))
    assert run.sealed.status == "complete"
    until(lambda: counter(service, "malformed_messages") == 6)
    assert counter(service, "refused_connections") == 0


def test_a_demonstration_leaves_a_tier_with_keys_alone(instruments):
    instruments.new("lattice", "*")
    said = octostream("demo", "--data", instruments.data, "--seconds", "0.1", code=2)
    assert "keys are in use" in said.err[-1]


def test_workers_listen_where_a_firewall_expects_them(serve, instruments):
    file = instruments.new("lattice", "*")
    first = free_port_pair()
    service = serve("--workers", "2", data=instruments.data, env={"OCTOSTREAM_WORKER_PORT": str(first)})
    with open_run(service.ingest, PLAN, key=file) as run:
        until(lambda: len(run._agent._protocol._workers) == 2)
        ports = {int(w.endpoint.rpartition(":")[2]) for w in run._agent._protocol._workers.values()}
        assert ports == {first, first + 1}
        for _ in range(PLAN.frames):
            run.send(np.full((64, 64), 300, np.uint16))
    assert run.sealed.status == "complete"


def free_port_pair():
    import socket

    for _ in range(100):
        with socket.create_server(("127.0.0.1", 0)) as one:
            port = one.getsockname()[1]
            try:
                with socket.create_server(("127.0.0.1", port + 1)):
                    return port
            except OSError:
                continue
    raise AssertionError("no two free ports")


def test_the_key_file_may_come_from_the_environment(serve, instruments):
    file = instruments.new("lattice", "*")
    service = serve(data=instruments.data)
    agent = Command("acquire", QUICK, "--to", service.ingest, "--json", env={"OCTOSTREAM_KEY": str(file)})
    try:
        assert agent.wait(60) == 0, agent.err
    finally:
        agent.end()
    os.chmod(file, 0o640)
    said = octostream("acquire", QUICK, "--to", service.ingest, "--key", file, code=2)
    assert said.err == [f"octostream: others may read or change key file {file}: chmod 600 {file}"]
