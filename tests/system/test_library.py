"""The agent as a library: ``with open_run(...) as run: run.send(frame)``."""

import os
import signal
import threading

import numpy as np
import pytest
import zarr
from octostream.acquire.recording import open_run
from octostream.kernels.recipe import Recipe
from octostream.stream.agent_protocol import Timing
from octostream.stream.errors import RefusedError, SourceError, UnreachableError
from octostream.stream.model import Pixel, Plan

from .conftest import until

pytestmark = pytest.mark.system


def frames(count, shape=(40, 30)):
    return np.random.default_rng(1).integers(0, 3000, (count, *shape), dtype=np.uint16)


def test_frames_are_sent_and_sealed(shared_service):
    plan = Plan((2, 1, 5, 40, 30), pixel=Pixel(1.0, 0.4, 0.4), metadata={"sample": "embryo", "stage": 3})
    sent = frames(10)
    with open_run(shared_service.ingest, plan, name="library") as run:
        for frame in sent:
            run.send(frame)
        assert run.sent == 10
    assert run.sealed.status == "complete"
    root = zarr.open_group(run.store, mode="r")
    assert root.attrs["octostream"]["plan"]["metadata"] == {"sample": "embryo", "stage": 3}
    np.testing.assert_array_equal(root["frames/max"][...], sent.max(axis=(1, 2)))


def test_buffers_may_be_filled_in_place(shared_service):
    plan = Plan((1, 1, 3, 40, 30))
    sent = frames(3)
    with open_run(shared_service.ingest, plan) as run:
        for frame in sent:
            run.buffer()[...] = frame
            run.commit(timestamp_ns=5)
    np.testing.assert_array_equal(zarr.open_group(run.store, mode="r")["frames/timestamp_ns"][...], [5, 5, 5])


def test_leaving_early_names_the_rest(shared_service):
    with open_run(shared_service.ingest, Plan((1, 1, 8, 40, 30))) as run:
        for frame in frames(3):
            run.send(frame)
    assert run.sealed.status == "incomplete"
    assert run.sealed.ledger["frames_stored"] == 3
    assert run.sealed.ledger["lost"] == [{"first": 3, "last": 7, "where": "source", "why": "fewer frames sent"}]


def test_an_error_at_the_instrument_seals_too(shared_service):
    run = open_run(shared_service.ingest, Plan((1, 1, 8, 40, 30)))

    def acquire():
        with run:
            run.send(frames(1)[0])
            raise RuntimeError("the shutter is stuck")

    with pytest.raises(RuntimeError, match="shutter"):
        acquire()
    assert run.sealed.ledger["frames_stored"] == 1
    assert run.sealed.ledger["lost"][0]["why"] == "the shutter is stuck"


@pytest.mark.parametrize("wrong", [np.zeros((30, 40), np.uint16), np.zeros((40, 30), np.float32)])
def test_frames_that_do_not_fit_the_plan(shared_service, wrong):
    with open_run(shared_service.ingest, Plan((1, 1, 1, 40, 30))) as run:
        with pytest.raises(SourceError, match="the plan says uint16"):
            run.send(wrong)
        run.send(frames(1)[0])
        with pytest.raises(SourceError, match="all 1 planned frames"):
            run.send(frames(1)[0])
    assert run.sealed.status == "complete"


def test_stamps_and_misses_are_checked(shared_service):
    with open_run(shared_service.ingest, Plan((1, 1, 3, 40, 30))) as run:
        run.buffer()[...] = 1
        for wrong in (-1, 2**63):
            with pytest.raises(SourceError, match="nanoseconds"):
                run.commit(timestamp_ns=wrong)
        run.commit(timestamp_ns=np.int64(7))
        run.send(frames(1)[0])
        run.miss("dark")
        with pytest.raises(SourceError, match="all 3 planned"):
            run.miss("one too many")
    assert run.sealed.ledger["lost"] == [{"first": 2, "last": 2, "where": "source", "why": "dark"}]


def test_thousands_of_losses_are_named_one_by_one(shared_service):
    """Each with a reason of its own, so that none can be joined; the message at the end stays small."""
    count = 6000
    with open_run(shared_service.ingest, Plan((count, 1, 1, 4, 4))) as run:
        for number in range(count):
            if number % 2:
                run.miss(f"page {number} is damaged {'x' * 100}")
            else:
                run.send(np.full((4, 4), 200, np.uint16))
    assert (run.sealed.status, run.sealed.ledger["frames_lost"]) == ("incomplete", count // 2)
    ledger = shared_service.get(f"/api/v1/runs/{run.run}/ledger").json()
    assert [k["first"] for k in ledger["lost"]] == list(range(1, count, 2))
    assert ledger["lost"][7]["why"].startswith("page 15 is damaged")


def test_the_service_gives_the_recipe_of_a_run(shared_service):
    recipe = Recipe.load("lightsheet", ["calibrate.offset=97.5", "pyramid=false", "projections.along=[]"])
    with open_run(shared_service.ingest, Plan((1, 1, 2, 4, 4)), recipe=recipe.to_json()) as run:
        shown = "/api/v1/runs/live/recipe"
        live = until(lambda: (told := shared_service.get(shown)).status_code == 200 and told.json())
        for frame in frames(2, (4, 4)):
            run.send(frame)
    told = shared_service.get(f"/api/v1/runs/{run.run}/recipe").json()
    assert told == live
    steps = {step["step"]: step["parameters"] for step in told["steps"]}
    assert {"version": 2, "name": told["name"], **steps} == recipe.to_json()
    assert [step["step"] for step in told["steps"]] == list(recipe.steps)


def test_opening_waits_for_a_worker_that_starts(serve):
    service = serve()
    (worker,) = service.children("worker")
    os.kill(worker, signal.SIGSTOP)
    opened = []

    def acquire():
        with open_run(service.ingest, Plan((1, 1, 1, 40, 30)), timing=Timing(connect_s=1.0, retry_s=0.2)) as run:
            run.send(frames(1)[0])
        opened.append(run.sealed.status)

    waiting = threading.Thread(target=acquire)
    waiting.start()
    waiting.join(3)
    assert waiting.is_alive()
    os.kill(worker, signal.SIGCONT)
    waiting.join(30)
    assert opened == ["complete"]


def test_refusal_and_silence_are_errors(shared_service):
    with pytest.raises(RefusedError, match="bad name"):
        open_run(shared_service.ingest, Plan((1, 1, 1, 4, 4)), name="bad name")
    with pytest.raises(UnreachableError, match=r"tcp://127\.0\.0\.1:9"):
        open_run("tcp://127.0.0.1:9", Plan((1, 1, 1, 4, 4)), timing=Timing(connect_s=0.5))
