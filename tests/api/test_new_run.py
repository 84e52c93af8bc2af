"""A run is made whole or not at all, also where the service is killed or the disk refuses."""

import errno
import itertools
import os
import shutil
from functools import partial
from pathlib import Path

import pytest
from octostream.api.cataloguing import Cataloguing
from octostream.api.described import Techniques
from octostream.api.new_run import HALF_MADE, create_run, remove_run
from octostream.api.opening import check_opening
from octostream.api.tokens import read_token
from octostream.sinks.keeper import StoreKeeper
from octostream.sinks.registry import Registry
from octostream.stream import messages as m
from octostream.stream.errors import NameRefusedError, OctostreamError, StoreError
from octostream.stream.model import Plan

PLAN = Plan((1, 1, 4, 16, 16))
CHANGES = ("fsync", "replace", "rename", "link", "unlink", "mkdir", "rmdir")

NO_CATALOGUE = Cataloguing(Path(), 0.0, Techniques())


class Killed(BaseException):
    """Ends the making of a run as SIGKILL does: nothing that waits for an OSError sees it."""


@pytest.fixture
def registry(tmp_path):
    opened = Registry(tmp_path / "runs.sqlite")
    yield opened
    opened.close()


def request(data, name="one"):
    return check_opening(m.Open("token", name, "local", PLAN, {}, keep_raw=False), data, 0)


def until_change(count, end, monkeypatch, work):
    """Do some work in which the change of a file after so many ends otherwise; tells whether it came to that."""
    done = itertools.count()

    def counted(real):
        def call(*args, **options):
            if next(done) >= count:
                end()
            return real(*args, **options)

        return call

    with monkeypatch.context() as patched:
        for name in CHANGES:
            patched.setattr(os, name, counted(getattr(os, name)))
        try:
            work()
        except (Killed, OctostreamError):
            return True
    return False


def kill():
    raise Killed


def refuse():
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def making(data, registry):
    return partial(create_run, registry, request(data), "secret", NO_CATALOGUE)


def left(data):
    """Give everything of any store that lies in the data directory."""
    return sorted(p.name for p in data.glob("*/*"))


def in_every_round(tmp_path, monkeypatch, end, prepare):
    """Do what was prepared again and again, ended after one change more of a file each time; gives the folders."""
    for count in itertools.count():
        data = tmp_path / f"{count}"
        data.mkdir()
        registry = Registry(data / "runs.sqlite")
        try:
            cut = until_change(count, end, monkeypatch, prepare(data, registry))
            yield data, registry
        finally:
            registry.close()
        if not cut:
            assert count > 10, "nothing was counted"
            return


def next_life(registry):
    """Do what a service does when it starts; gives the run that is left, if any."""
    for row in registry.open_runs():
        if row.reason != HALF_MADE or not remove_run(registry, row):
            return row
    return None


def test_killed_at_any_change_of_a_file_it_is_made_whole_or_not_at_all(tmp_path, monkeypatch):
    whole = []
    for data, registry in in_every_round(tmp_path, monkeypatch, kill, making):
        row = next_life(registry)
        whole.append(row is not None)
        if row is None:
            assert (registry.list(), left(data)) == ([], [])
            making(data, registry)()
            row = next_life(registry)
        assert read_token(Path(row.store)) == "secret"
        assert StoreKeeper.reopen(Path(row.store)).run.id == row.id
        assert left(data) == ["one.ome.zarr"]
    assert (whole[0], whole[-1]) == (False, True)


def test_a_disk_that_refuses_from_any_change_on_leaves_nothing(tmp_path, monkeypatch):
    for data, registry in in_every_round(tmp_path, monkeypatch, refuse, making):
        refused = next_life(registry) is None
        if refused:
            assert (registry.list(), left(data)) == ([], [])
            making(data, registry)()
        assert left(data) == ["one.ome.zarr"]


def test_a_removal_that_was_cut_short_is_ended(tmp_path, monkeypatch):
    def removing(data, registry):
        making(data, registry)()
        return partial(remove_run, registry, *registry.open_runs())

    for data, registry in in_every_round(tmp_path, monkeypatch, kill, removing):
        assert next_life(registry) is None
        assert (registry.list(), left(data)) == ([], [])


def test_what_lies_under_the_name_is_not_touched(tmp_path, registry):
    taken = tmp_path / "local" / "one.ome.zarr"
    taken.mkdir(parents=True)
    (taken / "mine").write_text("precious")
    with pytest.raises(NameRefusedError, match="name taken"):
        create_run(registry, request(tmp_path), "secret", NO_CATALOGUE)
    assert (taken / "mine").read_text() == "precious"
    assert registry.list() == []


def test_a_name_that_the_registry_knows_stays_that_of_its_run(tmp_path, registry):
    keeper = create_run(registry, request(tmp_path), "secret", NO_CATALOGUE)
    Path(keeper.run.store).rename(tmp_path / "elsewhere")
    with pytest.raises(NameRefusedError, match="name taken"):
        create_run(registry, request(tmp_path), "another", NO_CATALOGUE)
    assert [row.id for row in registry.list()] == [keeper.run.id]
    assert list((tmp_path / "local").iterdir()) == []


def test_a_store_with_blocks_is_not_removed(tmp_path, registry, monkeypatch):
    keeper = create_run(registry, request(tmp_path), "secret", NO_CATALOGUE)
    monkeypatch.setattr("octostream.api.new_run.recorded_blocks", lambda store: [0])
    (row,) = registry.open_runs()
    assert not remove_run(registry, row)
    assert Path(keeper.run.store).exists()
    assert registry.get(row.id) == row


def test_a_store_that_somebody_removed_is_not_forgotten(tmp_path, registry):
    keeper = create_run(registry, request(tmp_path), "secret", NO_CATALOGUE)
    shutil.rmtree(keeper.run.store)
    assert next_life(registry) is not None


def test_a_registry_that_refuses_makes_no_store(tmp_path, registry, monkeypatch):
    def full(run, *_):
        raise StoreError("cannot add a run", "free some space")

    monkeypatch.setattr(registry, "add", full)
    with pytest.raises(StoreError, match="cannot add"):
        create_run(registry, request(tmp_path), "secret", NO_CATALOGUE)
    assert left(tmp_path) == []


def test_an_entry_that_cannot_be_ended_takes_the_store_back(tmp_path, registry, monkeypatch):
    update = registry.update

    def full(run, *_):
        if run.reason != HALF_MADE:
            raise StoreError("cannot update a run", "free some space")
        update(run)

    monkeypatch.setattr(registry, "update", full)
    with pytest.raises(StoreError, match="cannot update"):
        create_run(registry, request(tmp_path), "secret", NO_CATALOGUE)
    assert (registry.list(), left(tmp_path)) == ([], [])
