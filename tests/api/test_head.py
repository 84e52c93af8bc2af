"""The head over real sockets and a real disk, with an agent and a worker that are only messages."""

import gc
import threading
import time
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import zarr
import zmq
from octostream.api.cataloguing import Cataloguing
from octostream.api.described import Techniques
from octostream.api.head import SEAL_STOP_S, Head, HeadSettings
from octostream.api.keeping import taken_up
from octostream.api.new_run import HALF_MADE, create_run
from octostream.api.opening import check_opening
from octostream.api.planned import reduction_without_maps
from octostream.api.stored_runs import registry_file
from octostream.kernels.recipe import Recipe
from octostream.kernels.reduction import plan_reduction
from octostream.sinks.keeper import StoreKeeper
from octostream.sinks.reading import read_ledger
from octostream.sinks.registry import Registry
from octostream.sinks.runfile import load_run, maps_folder
from octostream.sinks.writer import StoreWriter
from octostream.stream import messages as m
from octostream.stream.errors import RecipeError
from octostream.stream.histogram import Histogram
from octostream.stream.link import Subscriber
from octostream.stream.model import Frame, Loss, Plan
from octostream.stream.preview import MAX_COPY_BYTES, read_copy
from octostream.stream.ranges import Ranges
from octostream.stream.wire import decode, encode
from octostream.stream.writing import Job, write_block

PLAN = Plan((1, 1, 4, 16, 16))
LOST = (Loss(0, 3, "source", "stopped"),)
#: What nobody may wait for longer while a store is sealed, seconds; a loaded machine gets its time too.
SOON_S = 3.0


class Peer:
    """One end of a conversation with the head."""

    def __init__(self, context, endpoint):
        self.socket = context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(endpoint)

    def say(self, message):
        self.socket.send_multipart(encode(message))

    def hear(self, kind, seconds=20.0):
        """Give the next message of a kind."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self.socket.poll(int(1000 * left)):
                message = decode(self.socket.recv_multipart())
                if isinstance(message, kind):
                    return message
        raise AssertionError(f"no {kind.__name__} within {seconds} s")


class Tier:
    """A head in a thread, its worker, and whoever listens to its reports."""

    def __init__(self, data, context, sockets, memory_bytes):
        self.context = context
        self.listener = Subscriber(context, f"ipc://{sockets}/copies", MAX_COPY_BYTES)
        (data / ".octostream").mkdir(parents=True, exist_ok=True)
        self.tier = f"ipc://{sockets}/tier"
        copies = f"ipc://{sockets}/copies"
        self.head = Head(
            HeadSettings(str(data), "tcp://127.0.0.1:0", self.tier, copies, "http://x/", 0, 60.0, memory_bytes)
        )
        self.peers = []
        self.thread = threading.Thread(target=self.head.run, daemon=True)
        self.thread.start()
        self.worker = self.peer(self.tier)
        self.register()

    def peer(self, endpoint=None):
        self.peers.append(Peer(self.context, endpoint or self.head.ingest))
        return self.peers[-1]

    def register(self):
        self.worker.say(m.Register("w-1", "w", "tcp://127.0.0.1:9", "cpu"))

    def open(self, name, plan=PLAN):
        """Open a run the way an agent and a worker do; gives the agent and the answer."""
        agent = self.peer()
        agent.say(m.Open("token-" + name, name, "local", plan, {}, keep_raw=False))
        serve = self.worker.hear(m.Serve)
        self.worker.say(m.Ready(serve.run))
        return agent, agent.hear(m.Welcome)

    def report(self):
        """Give the next report that comes, and when it came."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if self.listener.socket.poll(100) and (parts := self.listener.receive()):
                return read_copy(parts)
        raise AssertionError("no report")

    def close(self):
        self.head.stop()
        self.thread.join(20)
        assert not self.thread.is_alive()
        for peer in self.peers:
            peer.socket.close()
        self.listener.close()


@pytest.fixture
def start(tmp_path, tmp_path_factory):
    tiers = []
    with zmq.Context() as context:

        def begin(memory_bytes=2**34):
            tiers.append(Tier(tmp_path / "data", context, tmp_path_factory.mktemp("ipc"), memory_bytes))
            return tiers[-1]

        yield begin
        for tier in tiers:
            tier.close()


@pytest.fixture
def slow_seal(monkeypatch):
    """Every seal waits until it is let go."""
    begun, go, seal = threading.Event(), threading.Event(), StoreKeeper.seal

    def slowly(self, losses, tables):
        begun.set()
        assert go.wait(60)
        return seal(self, losses, tables)

    monkeypatch.setattr(StoreKeeper, "seal", slowly)
    yield begun, go
    go.set()


def test_others_are_served_while_a_store_is_sealed(start, slow_seal):
    begun, go = slow_seal
    tier = start()
    first, welcome = tier.open("first")
    first.say(m.End(welcome.run, LOST))
    assert begun.wait(20)
    since = time.monotonic()
    second, other = tier.open("second")
    assert time.monotonic() - since < SOON_S, "an agent waited for another run's seal"
    for _ in range(3):
        asked = time.monotonic()
        second.say(m.Ping(other.run))
        second.hear(m.Pong)
        assert time.monotonic() - asked < SOON_S
    while {r.name for r in tier.report().runs} != {"first", "second"}:
        assert time.monotonic() - since < 20
    assert not go.is_set()
    go.set()
    assert first.hear(m.Sealed).status == "incomplete"
    second.say(m.End(other.run, LOST))
    assert second.hear(m.Sealed).run == other.run


def test_a_head_that_is_stopped_while_it_seals_seals_after_the_next_start(start, slow_seal, monkeypatch):
    begun, _ = slow_seal
    seal = StoreKeeper.seal
    tier = start()
    agent, welcome = tier.open("cut")
    agent.say(m.End(welcome.run, LOST))
    assert begun.wait(20)
    since = time.monotonic()
    tier.head.stop()
    tier.thread.join(20)
    assert time.monotonic() - since < SEAL_STOP_S + SOON_S
    monkeypatch.undo()  # the first seal hangs for ever, as if its process had ended
    assert StoreKeeper.seal is not seal
    again = start()
    again.worker.say(m.Ready(again.worker.hear(m.Serve).run))
    agent = again.peer()
    agent.say(m.Open("token-cut", "cut", "local", PLAN, {}, keep_raw=False))
    assert agent.hear(m.Welcome).run == welcome.run
    agent.say(m.End(welcome.run, LOST))
    sealed = agent.hear(m.Sealed)
    assert (sealed.run, sealed.status) == (welcome.run, "incomplete")


def with_map(folder):
    """Ask for a run whose recipe has a calibration map."""
    np.save(folder / "offset.npy", np.full(PLAN.frame_shape, 98, np.float32))
    recipe, maps = Recipe.load("lightsheet", [f"calibrate.offset={folder / 'offset.npy'}"]).resolve(PLAN.frame_shape)
    headers = tuple((key, array.dtype.str, array.shape) for key, array in maps.items())
    payload = b"".join(array.tobytes() for array in maps.values())
    return m.Open("token-map", "map", "local", PLAN, recipe.to_json(), keep_raw=False, maps=headers, payload=payload)


def test_the_head_lets_go_of_the_calibration_maps_of_a_run_that_it_opened(start, monkeypatch, tmp_path):
    planned = []

    def plan(*arguments, **options):
        made = plan_reduction(*arguments, **options)
        planned.append(weakref.ref(made))
        return made

    monkeypatch.setattr("octostream.api.opening.plan_reduction", plan)
    tier = start()
    agent = tier.peer()
    agent.say(with_map(tmp_path))
    tier.worker.say(m.Ready(tier.worker.hear(m.Serve).run))
    agent.hear(m.Welcome)
    end = time.monotonic() + 20
    while planned[0]() is not None:
        assert time.monotonic() < end, "a reduction with maps is held"
        gc.collect()
        tier.report()
    assert len(planned) == 1


def test_a_run_is_taken_up_again_and_sealed_though_its_calibration_map_is_damaged(start, tmp_path):
    tier = start()
    agent, opening = tier.peer(), with_map(tmp_path)
    agent.say(opening)
    tier.worker.say(m.Ready(tier.worker.hear(m.Serve).run))
    welcome = agent.hear(m.Welcome)
    tier.close()
    (stored,) = maps_folder(Path(welcome.store)).glob("*.npy")
    stored.write_bytes(b"damaged")
    again = start()
    again.worker.say(m.Ready(again.worker.hear(m.Serve).run))
    agent = again.peer()
    agent.say(opening)
    assert agent.hear(m.Welcome).run == welcome.run
    agent.say(m.End(welcome.run, LOST))
    assert agent.hear(m.Sealed).run == welcome.run


def commit_block(store, number):
    """Make a block durable the way a worker does; gives what it tells the head."""
    run, products, _ = load_run(store)
    block, reducer = run.plan.blocks[number], reduction_without_maps(run).reducer()
    reducer.begin(block)
    stats = [reducer.add(n, np.full(run.plan.frame_shape, 100 + n, np.uint16)) for n in block.frames]
    job = Job(block, [Frame(n, 10**18 + n, n) for n in block.frames], stats, reducer, Histogram())
    writer = StoreWriter(store, run.plan, products)
    commit = write_block(job, writer, "w-1", "cpu", run.plan.frame_bytes)
    writer.close()
    frames, nothing = Ranges.of(block.frames), (tuple(Histogram().counts), 0.0)
    return m.BlockDone(run.id, number, frames, commit.raw_bytes, commit.stored_bytes, nothing, nothing)


def published(tier, store, length):
    """Wait until readers see so many time points and the head says so; gives the frames that it counts as published."""
    end = time.monotonic() + 20
    while zarr.open_array(store / "0", mode="r").shape[0] < length:
        assert time.monotonic() < end
        time.sleep(0.01)
    told = 0
    while not told:
        told = next(stage.frames_total for stage in tier.report().stages if stage.name == "publish")
        assert time.monotonic() < end
    return told


def test_frames_that_were_published_are_not_counted_again_when_their_run_is_taken_up(start):
    tier = start()
    _, welcome = tier.open("counted", Plan((2, 1, 4, 16, 16), rate_hz=4.0))
    store = Path(welcome.store)
    tier.worker.say(commit_block(store, 0))
    assert published(tier, store, 1) == 4
    tier.close()
    again = start()
    again.worker.say(m.Ready(again.worker.hear(m.Serve).run))
    again.worker.say(commit_block(store, 1))
    assert published(again, store, 2) == 4


def test_a_block_that_is_committed_while_its_run_is_taken_up_is_shown(start, monkeypatch):
    tier = start()
    _, welcome = tier.open("meanwhile", Plan((2, 1, 4, 16, 16), rate_hz=4.0))
    store = Path(welcome.store)
    tier.close()

    def late(keeper):
        commit_block(store, 0)
        return taken_up(keeper)

    monkeypatch.setattr("octostream.api.head.taken_up", late)
    again = start()
    again.worker.say(m.Ready(again.worker.hear(m.Serve).run))
    assert published(again, store, 1) == 4


def test_a_sealed_run_whose_step_is_gone_stays_as_it_was(start, monkeypatch, tmp_path):
    tier = start()
    agent, welcome = tier.open("gone")
    agent.say(m.End(welcome.run, LOST))
    agent.hear(m.Sealed)

    def gone(run):
        raise RecipeError("there is no step 'mine'", "install its package")

    again = tier.peer()
    opening = m.Open("token-gone", "gone", "local", PLAN, {}, keep_raw=False, resume=welcome.run)
    with monkeypatch.context() as patch:
        patch.setattr("octostream.api.head.reduction_without_maps", gone)
        again.say(opening)
        assert again.hear(m.Refuse) == m.Refuse("there is no step 'mine'", "install its package")
    registry = Registry(registry_file(tmp_path / "data"))
    assert registry.get(welcome.run).status == "incomplete"
    registry.close()
    assert read_ledger(Path(welcome.store)).status == "incomplete"
    again.say(opening)
    tier.worker.say(m.Ready(tier.worker.hear(m.Serve).run))
    assert again.hear(m.Welcome).run == welcome.run


def test_a_seal_that_ends_in_time_is_told_when_the_head_is_stopped(start, slow_seal):
    begun, go = slow_seal
    tier = start()
    agent, welcome = tier.open("last")
    agent.say(m.End(welcome.run, LOST))
    assert begun.wait(20)
    threading.Timer(0.3, go.set).start()
    tier.head.stop()
    assert agent.hear(m.Sealed).run == welcome.run


def test_a_run_that_is_refused_before_it_began_leaves_its_name_free(start):
    tier = start()
    agent = tier.peer()
    agent.say(m.Open("t", "again", "local", PLAN, {}, keep_raw=False))
    serve = tier.worker.hear(m.Serve)
    assert Path(serve.store).is_dir()
    tier.worker.say(m.Refuse("the run needs 9 MiB", "raise memory_mib", serve.run))
    assert agent.hear(m.Refuse) == m.Refuse("the run needs 9 MiB", "raise memory_mib")
    assert tier.worker.hear(m.Over).run == serve.run
    _, welcome = tier.open("again")
    assert welcome.store == serve.store
    assert sorted(p.name for p in Path(serve.store).parent.iterdir()) == ["again.ome.zarr"]


def test_a_run_that_waits_for_memory_says_so_to_its_agent_and_on_the_page(start):
    tier = start()
    agent = tier.peer()
    opening = m.Open("t", "waiting", "local", PLAN, {}, keep_raw=False)
    agent.say(opening)
    serve = tier.worker.hear(m.Serve)
    why = "waits for memory: a worker's 9 MiB for runs are shared with 2 other runs"
    tier.worker.say(m.Stats("w-1", (), 1, "", {}, memory_bytes=9, waiting={serve.run: why}))
    end = time.monotonic() + 20
    while True:
        agent.say(opening)
        if agent.hear(m.Pong).waits == why:
            break
        assert time.monotonic() < end
    while True:
        report = tier.report()
        names = {a.name: a for a in report.alarms}
        if "memory_wait" in names:
            break
        assert time.monotonic() < end
    assert names["memory_wait"].severity == "alarm"
    assert names["memory_wait"].text == f"waiting {why}"
    assert report.verdict == "DEGRADED"
    assert report.runs[0].reason == why
    assert report.workers[0].memory_bytes == 9


def test_a_run_that_was_half_made_is_gone_after_the_start(start, tmp_path):
    data = tmp_path / "data"
    (data / ".octostream").mkdir(parents=True)
    registry = Registry(registry_file(data))
    opening = m.Open("token", "one", "local", PLAN, {}, keep_raw=False)
    store = Path(
        create_run(registry, check_opening(opening, data, 0), "token", Cataloguing(data, 0.0, Techniques())).run.store
    )
    (row,) = registry.open_runs()
    registry.update(replace(row, reason=HALF_MADE))
    tier = start()
    assert tier.report().runs == ()
    assert (registry.get(row.id), store.exists()) == (None, False)
    registry.close()
    _, welcome = tier.open("one")
    assert Path(welcome.store) == store


def test_a_run_that_could_not_be_sealed_is_not_begun(start, tmp_path):
    tier = start(psutil.Process().memory_info().rss + 100 * 2**20)
    agent = tier.peer()
    agent.say(m.Open("token", "long", "local", Plan((10_000_000, 1, 1, 16, 16)), {}, keep_raw=False))
    refusal = agent.hear(m.Refuse)
    assert "the head needs" in refusal.what
    assert "raise memory_mib by at least" in refusal.remedy
    assert not list((tmp_path / "data").glob("local/*"))
    _, welcome = tier.open("short")
    assert welcome.name == "short"
