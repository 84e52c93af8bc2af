import copy
import json
import os
import pickle
import stat
from dataclasses import asdict
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from octostream.stream import head_protocol as hp
from octostream.stream import key_files, zap
from octostream.stream import messages as m
from octostream.stream import worker_events as wp
from octostream.stream.budget import Need
from octostream.stream.curve import new_pair
from octostream.stream.errors import UsageError
from octostream.stream.key_files import KeyFileError
from octostream.stream.keys import OPEN_DOOR, AllowList, InstrumentKey, Permit, check_key
from octostream.stream.ledger import Ledger
from octostream.stream.model import Plan, Run
from octostream.stream.ranges import Ranges
from octostream.stream.worker_protocol import WorkerProtocol

PLAN = Plan((1, 1, 4, 8, 8))
names = st.from_regex(r"[a-z][a-z0-9.-]{0,8}[a-z]", fullmatch=True)
keys = st.binary(min_size=32, max_size=32).map(bytes.hex)
permits = st.builds(Permit, names, keys, st.none() | st.lists(names, max_size=3).map(tuple))
lists = st.lists(permits, max_size=5, unique_by=(lambda p: p.key, lambda p: p.instrument)).map(
    lambda found: AllowList(tuple(found))
)


# --- what a key may do ------------------------------------------------------------------------------------------


@given(lists, permits)
def test_an_instrument_has_one_key_and_a_key_one_instrument(allowed, permit):
    known = allowed.of(permit.key)
    if known and known.instrument != permit.instrument:
        with pytest.raises(UsageError, match="already"):
            allowed.allow(permit)
        return
    now = allowed.allow(permit)
    assert now.of(permit.key) == permit
    assert [p for p in now.permits if p.instrument == permit.instrument] == [permit]
    assert {p for p in allowed.permits if p.instrument != permit.instrument} == set(now.permits) - {permit}
    gone = now.revoke(permit.instrument)
    assert gone.of(permit.key) is None
    with pytest.raises(UsageError, match="no key"):
        gone.revoke(permit.instrument)


def test_where_a_key_may_record():
    some, anywhere, nowhere = Permit("a", "k", ("x", "y")), Permit("a", "k", None), Permit("a", "k", ())
    assert some.may_record_in("x")
    assert not some.may_record_in("z")
    assert not some.may_record_in("")
    assert anywhere.may_record_in("z")
    assert not nowhere.may_record_in("x")
    assert OPEN_DOOR.may_record_in("z")


def test_whose_runs_a_key_may_touch():
    assert Permit("a", "k", ()).owns("a")
    assert not Permit("b", "k", None).owns("a")
    assert Permit("b", "k", ()).owns("")
    assert OPEN_DOOR.owns("a")


def opening(token="t", investigation="mine"):
    return m.Open(token, "", investigation, PLAN, {}, keep_raw=False)


def recording(instrument="lattice"):
    head = hp.HeadProtocol("")
    run = Run("r", "r", "mine", PLAN, {}, "/s", keep_raw=False, opened_ns=0, instrument=instrument)
    head.handle(hp.FromWorker(b"w", m.Register("w", "0", "tcp://w:1", "cpu")), 0.0)
    head.handle(hp.FromAgent(b"1", opening(), Permit(instrument, "k", None)), 0.0)
    head.handle(hp.RunCreated(run, "t", b"1"), 0.0)
    head.handle(hp.FromWorker(b"w", m.Ready("r")), 0.0)
    return head


def test_opening_elsewhere_is_refused_by_name():
    head = hp.HeadProtocol("")
    (told,) = head.handle(hp.FromAgent(b"1", opening("t", "theirs"), Permit("lattice", "k", ("mine",))), 0.0)
    assert isinstance(told.message, m.Refuse)
    assert "'lattice'" in told.message.what
    assert "'theirs'" in told.message.what
    assert "'mine'" in told.message.remedy
    (made,) = head.handle(hp.FromAgent(b"1", opening("t", "mine"), Permit("lattice", "k", ("mine",))), 0.0)
    assert made == hp.Create(b"1", opening("t", "mine"), "lattice")


def test_another_instrument_cannot_take_over_a_run_with_its_token():
    head, other = recording(), Permit("other", "k2", None)
    (told,) = head.handle(hp.FromAgent(b"2", opening(), other), 1.0)
    assert told == hp.ToAgent(b"2", m.NOT_YOURS)
    assert head.runs["r"].address == b"1"
    (told, *_) = head.handle(hp.FromAgent(b"2", opening(), Permit("lattice", "k", None)), 1.0)
    assert isinstance(told.message, m.Welcome)


def test_another_instrument_at_the_same_address_changes_nothing():
    """An address is chosen by the peer."""
    head = recording()
    assert head.handle(hp.FromAgent(b"1", m.End("r", ()), Permit("other", "k2", None)), 1.0) == []
    assert head.runs["r"].ended is None


def test_how_a_run_ended_is_told_to_its_own_instrument_alone():
    head = hp.HeadProtocol("")
    head.remember("r", "t", Ledger(4).store(Ranges.of(range(4))), {"store": "/s"}, "lattice")
    for message in (opening(), m.End("r", ())):
        told = head.handle(hp.FromAgent(b"2", message, Permit("other", "k2", None)), 0.0)
        assert not any(isinstance(action.message, m.Sealed | m.Welcome) for action in told)
        told = head.handle(hp.FromAgent(b"1", message, Permit("lattice", "k", None)), 0.0)
        assert any(isinstance(action.message, m.Sealed) for action in told)


def test_another_instrument_cannot_join_or_send():
    worker = WorkerProtocol(2**26, 2**30)
    worker.handle(wp.ServeRun("r", "t", PLAN, 1, Ranges(), Need(), "lattice"))
    mine, other = Permit("lattice", "k", None), Permit("other", "k2", None)
    frame = m.FrameData("r", 1, 0, 0, 0, bytes(PLAN.frame_bytes))
    (told,) = worker.handle(wp.FromAgent(b"1", m.Join("r", 1, "t"), permit=other))
    assert "another instrument" in told.message.what
    (credit, _) = [
        a for a in worker.handle(wp.FromAgent(b"1", m.Join("r", 1, "t"), permit=mine)) if isinstance(a, wp.ToAgent)
    ]
    assert isinstance(credit.message, m.Credit)
    (told,) = worker.handle(wp.FromAgent(b"1", frame, permit=other))
    assert "another instrument" in told.message.what
    assert any(isinstance(a, wp.Reduce) for a in worker.handle(wp.FromAgent(b"1", frame, permit=mine)))


# --- who is let in ----------------------------------------------------------------------------------------------

texts = st.binary(max_size=300)


@given(lists, st.lists(texts, max_size=9))
def test_whatever_is_no_request_is_refused(allowed, request):
    answer = zap.answer(request, allowed)
    assert not answer.let_in
    assert answer.parts[2] in (b"400", b"500")
    assert answer.parts[4] == b""


@given(lists, permits, keys, st.binary(min_size=1, max_size=255))
def test_only_an_allowed_key_is_let_in(others, known, stranger, number):
    allowed = AllowList((*(p for p in others.permits if p.key != known.key), known))
    for version, domain, mechanism, key in product(
        [b"1.0", b"1.1", b""],
        [b"octostream", b"", b"global"],
        [b"CURVE", b"NULL", b"PLAIN", b"curve"],
        [stranger, *(p.key for p in allowed.permits)],
    ):
        answer = zap.answer([version, number, domain, b"10.0.0.7", b"", mechanism, bytes.fromhex(key)], allowed)
        good = (version, domain, mechanism) == (b"1.0", b"octostream", b"CURVE") and allowed.of(key) is not None
        assert answer.let_in == good
        assert (answer.parts[2] == b"200") == good
        assert answer.parts[4] == (key.encode() if good else b"")
        assert len(answer.parts) == 6
        assert answer.parts[1] == (number if version == b"1.0" else b"")


# --- files ------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    key_files.ensure_folder(tmp_path / "keys")
    return tmp_path / "keys"


def instrument(folder):
    return InstrumentKey("lattice", new_pair(), key_files.ensure_server(folder).public)


def test_key_files_come_back(folder):
    key = instrument(folder)
    key_files.create_instrument(folder / "lattice.key", key)
    read = key_files.read_instrument(folder / "lattice.key")
    assert (read.instrument, read.tier, read.pair.public) == (key.instrument, key.tier, key.pair.public)
    assert read.pair.secret.reveal() == key.pair.secret.reveal()
    assert key_files.ensure_server(folder).public == key.tier


@given(lists)
def test_allow_lists_come_back(tmp_path_factory, allowed):
    folder = tmp_path_factory.mktemp("keys")
    assert not key_files.in_use(folder)
    assert key_files.read_allowed(folder) == AllowList()
    key_files.write_allowed(folder, allowed)
    assert key_files.in_use(folder)
    assert set(key_files.read_allowed(folder).permits) == set(allowed.permits)
    assert [file.name for file in folder.iterdir()] == ["allowed.toml"]


def test_nobody_else_can_read_a_key_at_any_moment(folder, monkeypatch):
    """Whatever the umask is, the file is the owner's alone from the moment when it is there."""
    opened = []
    real = os.open

    def spying(path, flags, mode=0o777, **options):
        handle = real(path, flags, mode, **options)
        if flags & os.O_CREAT:
            assert flags & os.O_EXCL
            opened.append(stat.S_IMODE(os.fstat(handle).st_mode))
        return handle

    monkeypatch.setattr(os, "open", spying)
    before = os.umask(0)
    try:
        key_files.create_instrument(folder / "lattice.key", instrument(folder))
        key_files.write_allowed(folder, AllowList())
    finally:
        os.umask(before)
    assert opened == [0o600] * 3
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in folder.iterdir())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_key_is_never_overwritten(folder):
    key_files.create_instrument(folder / "lattice.key", instrument(folder))
    before = (folder / "lattice.key").read_bytes()
    with pytest.raises(KeyFileError, match="already"):
        key_files.create_instrument(folder / "lattice.key", instrument(folder))
    assert (folder / "lattice.key").read_bytes() == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610])
def test_a_key_that_others_may_touch_is_refused(folder, mode):
    file = folder / "lattice.key"
    key_files.create_instrument(file, instrument(folder))
    file.chmod(mode)
    with pytest.raises(KeyFileError, match=r"others .* chmod 600"):
        key_files.read_instrument(file)


def test_keys_of_another_user_and_things_that_are_no_file_are_refused(folder, monkeypatch):
    file = folder / "lattice.key"
    key_files.create_instrument(file, instrument(folder))
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(KeyFileError, match="another user"):
        key_files.read_instrument(file)
    monkeypatch.undo()
    with pytest.raises(KeyFileError, match="no key file"):
        key_files.read_instrument(folder / "nothing")
    with pytest.raises(KeyFileError, match="cannot be read"):
        key_files.read_instrument(folder)
    with pytest.raises(KeyFileError, match="no regular file"):
        key_files.read_instrument(type(file)(os.devnull))


def test_a_damaged_key_file_is_refused_without_a_word_from_inside(folder):
    file, key = folder / "lattice.key", instrument(folder)
    key_files.create_instrument(file, key)
    text, secret = file.read_text(), key.pair.secret.reveal().hex()
    for bad in (
        "",
        text.replace('"', ""),
        text.replace("secret =", "secret"),
        text.replace(secret, secret.upper()),
        text.replace(secret, secret + "0"),
        text.replace("public", "publik"),
        text.replace('"lattice"', '"a/b"'),
        text.replace(key.tier, "0"),
        text + text,
        text.replace(f'"{secret}"', "7"),
    ):
        file.write_text(bad)
        with pytest.raises(KeyFileError, match="damaged") as caught:
            key_files.read_instrument(file)
        assert secret[:20] not in f"{caught.value!r} {caught.getrepr(style='long', chain=True)}".lower()
        assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "text",
    [
        "instrument = 3",
        "[instrument.a]",
        '[instrument.a]\nkey = "zz"\ninvestigations = "any"',
        '[instrument.a]\nkey = "' + "0" * 64 + '"\ninvestigations = "some"',
        '[instrument.a]\nkey = "' + "0" * 64 + '"\ninvestigations = ["a/b"]',
        "".join(f'[instrument.{n}]\nkey = "{"0" * 64}"\ninvestigations = "any"\n' for n in "ab"),
    ],
)
def test_a_damaged_allow_list_is_refused(folder, text):
    key_files.write_allowed(folder, AllowList())
    (folder / "allowed.toml").write_text(text)
    with pytest.raises(KeyFileError, match="damaged"):
        key_files.read_allowed(folder)


def test_secrets_are_not_shown_or_copied():
    pair = new_pair()
    key = InstrumentKey("lattice", pair, pair.public)
    secret = pair.secret.reveal()
    for text in (repr(key), str(key), f"{key}", f"{pair.secret}", repr(vars(key)), repr([key])):
        assert secret.hex() not in text
        assert repr(secret) not in text
    for show in (asdict, copy.deepcopy, pickle.dumps, lambda k: json.dumps(k, default=vars)):
        with pytest.raises(TypeError):
            show(key)


def test_a_public_key_is_64_digits():
    assert check_key("0f" * 32) == "0f" * 32
    for wrong in ("", "0f" * 31, "0F" * 32, "zz" * 32, "0f" * 32 + "\n"):
        with pytest.raises(UsageError) as caught:
            check_key(wrong)
        assert wrong.strip() == "" or wrong not in str(caught.value)
