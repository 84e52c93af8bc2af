from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from octostream.sinks.database import SCHEMA_VERSION
from octostream.sinks.registry import Registry
from octostream.stream.errors import NameRefusedError, StoreError
from octostream.stream.report import RunReport


def a_run(n: int, **changes) -> RunReport:
    made = RunReport(
        f"r{n}", f"name{n}", "local", f"/data/{n}", "file.tif", "lightsheet", "recording", (2, 1, 3, 4, 5), 6,
        target_hz=100.0, opened_ns=1000 + n, reduced_ms={"p50": 1.5, "p99": None},
    )  # fmt: skip
    return replace(made, **changes)


@pytest.fixture
def registry(tmp_path):
    made = Registry(tmp_path / "runs.sqlite3")
    yield made
    made.close()


def test_what_was_added_is_given_back(registry):
    assert registry.get("r1") is None
    registry.add(a_run(1))
    assert registry.get("r1") == a_run(1)
    changed = a_run(1, status="incomplete", lost=2, stored=4, sealed_ns=5, reason="agent left")
    registry.update(changed)
    assert registry.get("r1") == changed


def test_names_and_ids_are_unique(registry):
    registry.add(a_run(1))
    with pytest.raises(NameRefusedError, match="name taken"):
        registry.add(a_run(2, name="name1"))
    with pytest.raises(NameRefusedError):
        registry.add(a_run(1, name="other"))
    registry.add(a_run(2, name="name1", investigation="other"))
    registry.add(a_run(3, name="name1", visit="1"))
    with pytest.raises(NameRefusedError, match="'name1' in 'local', visit '1'"):
        registry.add(a_run(4, name="name1", visit="1"))
    assert [(r.id, r.visit) for r in registry.list()] == [("r3", "1"), ("r2", ""), ("r1", "")]


def test_a_run_that_was_never_added_cannot_change(registry):
    with pytest.raises(StoreError, match="not in the registry"):
        registry.update(a_run(1))
    assert registry.list() == []


def test_all_runs_are_given_however_many_pages_they_are(registry):
    for n in range(103):
        registry.add(a_run(n))
    assert [run.id for run in registry.all()] == [f"r{n}" for n in reversed(range(103))]


def test_pages_cover_every_run_once_newest_first(registry):
    for n in range(7):
        registry.add(a_run(n, opened_ns=1000 + n // 2))
    seen, before = [], None
    while page := registry.list(3, before):
        seen += [r.id for r in page]
        before = page[-1].id
    assert seen == ["r6", "r5", "r4", "r3", "r2", "r1", "r0"]
    assert registry.list(3, "unknown") == []


def test_open_runs_are_those_that_record(registry):
    for n, status in enumerate(["recording", "complete", "incomplete", "recording"]):
        registry.add(a_run(n, status=status))
    assert [r.id for r in registry.open_runs()] == ["r3", "r0"]
    registry.update(a_run(3, status="complete"))
    assert [r.id for r in registry.open_runs()] == ["r0"]


def test_it_survives_reopening_and_keeps_its_promises_to_the_disk(tmp_path):
    path = tmp_path / "runs.sqlite3"
    first = Registry(path)
    first.add(a_run(1))
    settings = {
        name: first._database._connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "user_version", "busy_timeout")
    }
    assert settings == {
        "journal_mode": "delete", "synchronous": 3, "user_version": SCHEMA_VERSION,
        "busy_timeout": 10_000,
    }  # fmt: skip
    first.close()
    second = Registry(path)
    assert second.get("r1") == a_run(1)
    second.close()


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_an_older_file_is_refused_and_left_as_it_is(tmp_path, version):
    older = tmp_path / "older"
    connection = sqlite3.connect(older)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    before = older.read_bytes()
    with pytest.raises(StoreError, match=rf"schema version {version}, this .* move it away"):
        Registry(older)
    assert older.read_bytes() == before


def test_a_newer_or_foreign_file_is_refused(tmp_path):
    newer = tmp_path / "newer"
    connection = sqlite3.connect(newer)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(StoreError, match="newer octostream"):
        Registry(newer)
    foreign = tmp_path / "foreign"
    foreign.write_bytes(b"this is no database at all" * 100)
    with pytest.raises(StoreError, match="cannot open the registry"):
        Registry(foreign)
    with pytest.raises(StoreError, match="cannot open the registry"):
        Registry(tmp_path / "no" / "folder")


@pytest.mark.parametrize("attempt", range(4))
def test_many_may_find_the_file_missing_at_once(tmp_path, attempt):
    start, opened, wrong = threading.Barrier(8), [], []

    def open_one() -> None:
        start.wait(30)
        try:
            opened.append(Registry(tmp_path / "runs.sqlite3"))
        except StoreError as error:
            wrong.append(str(error))

    threads = [threading.Thread(target=open_one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for registry in opened:
        registry.close()
    assert (wrong, len(opened)) == ([], 8)


WRITER = """
import sys
from octostream.sinks.registry import Registry
from octostream.stream.report import RunReport
registry = Registry(sys.argv[1])
for n in range(int(sys.argv[3])):
    name = f"{sys.argv[2]}{n}"
    run = RunReport(name, name, "local", "/d", "s", "r", "recording", (1,) * 5, 1, opened_ns=n)
    registry.add(run)
    registry.update(RunReport(**{**vars(run), "status": "complete", "stored": 1}))
registry.close()
"""


def test_several_processes_and_threads_share_it(tmp_path):
    path = tmp_path / "runs.sqlite3"
    count = 25
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), who, str(count)]) for who in "ab"]
    reader = Registry(path)
    wrong, over = [], threading.Event()

    def read() -> None:
        known = 0
        while not over.is_set():
            runs = reader.list(1000)
            if len(runs) < known:
                wrong.append("a run vanished")
            known = len(runs)
            wrong.extend(r.id for r in runs if r.status == "complete" and r.stored != 1)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        assert [w.wait(60) for w in writers] == [0, 0]
    finally:
        over.set()
        for thread in threads:
            thread.join(60)
    assert wrong == []
    assert len(reader.list(1000)) == 2 * count
    assert reader.open_runs() == []
    reader.close()
