"""Protected sockets: who gets in, who does not, and that this is tried before anything is served."""

import socket
import threading
import time

import pytest
import zmq
from octostream.stream import doorkeeper as door
from octostream.stream import key_files, zap
from octostream.stream.curve import Handshake, Handshakes, new_pair, protect_client, protect_server
from octostream.stream.doorkeeper import Doorkeeper, knock
from octostream.stream.errors import OctostreamError, UsageError
from octostream.stream.keys import AllowList, InstrumentKey, Permit
from octostream.stream.link import Dealer, Router, context


@pytest.fixture
def ctx():
    made = context()
    yield made
    made.term()


@pytest.fixture
def here():
    """The context of a peer: another process, as far as ZeroMQ is concerned."""
    made = context()
    yield made
    made.term()


@pytest.fixture
def closing():
    links = []
    yield lambda link: links.append(link) or link
    for link in reversed(links):
        link.close()


@pytest.fixture
def folder(tmp_path):
    key_files.ensure_folder(tmp_path / "keys")
    key_files.ensure_server(tmp_path / "keys")
    key_files.write_allowed(tmp_path / "keys", AllowList())
    return tmp_path / "keys"


def key(folder, name="lattice", *, allow=True):
    made = InstrumentKey(name, new_pair(), key_files.read_server(folder).public)
    if allow:
        key_files.write_allowed(folder, key_files.read_allowed(folder).allow(permit(made)))
    return made


def permit(of):
    return Permit(of.instrument, of.pair.public, ("mine",))


def protected(ctx, folder):
    return Router(ctx, "tcp://127.0.0.1:0", 2**20, Doorkeeper(ctx, folder))


def until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        threading.Event().wait(0.02)
    raise AssertionError(f"{condition} did not come true")


def says(dealer, router, text):
    """Send until it is there: a connection that is being made again takes nothing."""

    def tried():
        dealer.receive()
        dealer.send([text])
        return router.receive()

    return until(tried)


def test_an_allowed_key_gets_in_and_is_known_by_it(ctx, here, closing, folder):
    known = key(folder)
    router = closing(protected(ctx, folder))
    dealer = closing(Dealer(here, router.endpoint, key=known))
    address, parts, proved = says(dealer, router, b"hello")
    assert bytes(parts[0]) == b"hello"
    assert proved == permit(known)
    assert router.send(address, [b"yes"])
    assert until(dealer.receive)[0] == b"yes"
    assert dealer.refusal is None
    assert router.refused == 0


@pytest.mark.parametrize(
    ("who", "word"),
    [("unknown", "does not allow"), ("wrong tier", "not the tier"), ("no key", "asks for a key")],
)
def test_everybody_else_stays_out_and_is_told_why(ctx, here, closing, folder, who, word):
    known = key(folder)
    shown = {
        "unknown": key(folder, "other", allow=False),
        "wrong tier": InstrumentKey("lattice", known.pair, new_pair().public),
        "no key": None,
    }[who]
    router = closing(protected(ctx, folder))
    dealer = closing(Dealer(here, router.endpoint, key=shown))
    dealer.send([b"let me in"])
    until(lambda: dealer.receive() or dealer.refusal)
    assert word in str(dealer.refusal)
    until(lambda: router.refused > 0)
    assert router.receive() is None


def test_plain_text_passwords_do_not_count(ctx, here, closing, folder):
    router = closing(protected(ctx, folder))
    with here.socket(zmq.DEALER) as plain:
        plain.linger = 0
        plain.plain_username, plain.plain_password = b"user", b"password"
        plain.connect(router.endpoint)
        plain.send(b"let me in")
        until(lambda: router.refused > 0)
        assert router.receive() is None


def test_curve_alone_lets_everybody_in(ctx, here, folder):
    """This is why there is a doorkeeper, and why it is tried."""
    with ctx.socket(zmq.ROUTER) as router:
        router.linger = 0
        protect_server(router, key_files.read_server(folder))
        router.bind("tcp://127.0.0.1:*")
        stranger = key(folder, "stranger", allow=False)
        assert knock(here, router.last_endpoint.decode(), stranger, 10) is Handshake.DONE


def test_a_door_that_lets_strangers_in_is_not_opened(ctx, closing, folder, monkeypatch):
    def blind(request, allowed):
        return zap.Answer(zap._reply(request[1], b"200", b"", b"somebody"), "", "", let_in=True)

    monkeypatch.setattr(door.zap, "answer", blind)
    with pytest.raises(OctostreamError, match="unknown key was let in"):
        closing(protected(ctx, folder))


def test_a_door_that_nobody_keeps_is_not_opened(ctx, closing, folder, monkeypatch):
    monkeypatch.setattr(Doorkeeper, "_serve", lambda self: None)
    made = Doorkeeper(ctx, folder)
    thread = made._thread

    real = made.protect

    def protect(socket):
        real(socket)
        thread.join(10)

    made.protect = protect
    with pytest.raises(OctostreamError, match="nobody checks keys"):
        closing(Router(ctx, "tcp://127.0.0.1:0", 2**20, made))


def test_a_doorkeeper_that_does_not_answer_is_noticed_in_time(ctx, closing, folder, monkeypatch):
    monkeypatch.setattr(door, "PROOF_S", 0.3)
    monkeypatch.setattr(Doorkeeper, "_serve", lambda self: self._over.wait(30))
    with pytest.raises(OctostreamError, match=r"no answer within 0\.3 s"):
        closing(protected(ctx, folder))


def test_an_open_door_is_left_when_its_doorkeeper_dies(ctx, here, closing, folder, monkeypatch):
    known = key(folder)
    router = closing(protected(ctx, folder))

    def fail(*_):
        raise ValueError("broken")

    monkeypatch.setattr(door.zap, "answer", fail)
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    dealer = closing(Dealer(here, router.endpoint, key=known))
    dealer.send([b"hello"])
    until(lambda: not router.doorkeeper.alive)
    with pytest.raises(OctostreamError, match="nobody checks keys"):
        router.receive()
    assert router.socket.poll(200) == 0  # whoever knocks now waits in vain


def test_one_context_has_one_doorkeeper(ctx, closing, folder):
    closing(protected(ctx, folder))
    with pytest.raises(zmq.ZMQError, match="in use"):
        Doorkeeper(ctx, folder)


def test_an_address_in_use_is_told_as_always(ctx, here, closing, folder):
    router = closing(Router(here, "tcp://127.0.0.1:0"))
    with pytest.raises(UsageError, match=r"cannot listen at .*in use"):
        Router(ctx, router.endpoint, 2**20, Doorkeeper(ctx, folder))


def test_what_is_revoked_is_refused_within_seconds_and_what_is_allowed_again_gets_in(ctx, here, closing, folder):
    known = key(folder)
    router = closing(protected(ctx, folder))
    dealer = closing(Dealer(here, router.endpoint, key=known))
    assert says(dealer, router, b"before")[2] == permit(known)

    key_files.write_allowed(folder, key_files.read_allowed(folder).revoke("lattice"))
    until(lambda: router.doorkeeper.permit(known.pair.public) is None)
    assert says(dealer, router, b"still connected")[2] is None
    fresh = closing(Dealer(here, router.endpoint, key=known))
    until(lambda: fresh.receive() or fresh.turned_away)

    key_files.write_allowed(folder, key_files.read_allowed(folder).allow(permit(known)))
    until(lambda: router.doorkeeper.permit(known.pair.public))
    while router.receive() is not None:
        pass
    assert says(fresh, router, b"after")[2] == permit(known)
    assert fresh.refusal is None


def test_a_key_that_is_allowed_gets_in_at_once(ctx, here, closing, folder, monkeypatch):
    """The list is looked at when somebody knocks, not only every now and then."""
    monkeypatch.setattr(door, "LOOK_S", 1000.0)
    router = closing(protected(ctx, folder))
    assert knock(here, router.endpoint, key(folder), 10) is Handshake.DONE


def test_a_damaged_list_changes_nothing_and_a_missing_one_allows_nobody(ctx, closing, folder, monkeypatch):
    known = key(folder)
    router = closing(protected(ctx, folder))
    keeper, said = router.doorkeeper, []
    monkeypatch.setattr(door.log, "error", lambda *words: said.append(words))
    (folder / key_files.ALLOWED).write_text("[instrument")
    until(lambda: said)
    assert "stays as it was" in said[0][0]
    assert keeper.permit(known.pair.public) == permit(known)
    (folder / key_files.ALLOWED).unlink()
    until(lambda: keeper.permit(known.pair.public) is None)


def test_half_a_greeting_ends(ctx, closing, folder, monkeypatch):
    """Whoever does not finish a handshake is cut off, and counted."""
    router = closing(protected(ctx, folder))
    host, port = router.endpoint.removeprefix("tcp://").split(":")
    for sent in (b"", b"\xff\0\0\0", b"\xff" + bytes(8) + b"\x7f\x03\0" + b"CURVE".ljust(20, b"\0") + bytes(32)):
        before = router.refused
        with socket.create_connection((host, int(port))) as raw:
            raw.settimeout(20)
            raw.sendall(sent)
            while raw.recv(4096):
                pass
        until(lambda before=before: router.refused > before)


def test_a_peer_that_is_watched_tells_how_it_went(ctx, here, folder):
    with ctx.socket(zmq.DEALER) as nobody:
        nobody.linger = 0
        protect_client(nobody, key(folder))
        watched = Handshakes(nobody)
        nobody.connect("tcp://127.0.0.1:1")
        assert watched.take() == []
        nobody.close()
        watched.close()
