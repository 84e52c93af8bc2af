"""The journal of a spool: facts that may be repeated, damaged one by one, and written anew."""

from __future__ import annotations

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from octostream.acquire import journal as module
from octostream.acquire.journal import Journal
from octostream.acquire.journal_facts import Facts, journals_of, line_of, read_facts
from octostream.stream.model import Loss
from octostream.stream.ranges import Ranges

LOSSES = (Loss(4, 6, "agent", "dropped: «no room»\nat all"), Loss(9, 9, "source", "unreadable"))


def filled(directory):
    journal = Journal(directory, Facts())
    journal.sync()
    journal.keep(Ranges(((0, 3), (7, 8))))
    journal.note_run("r-1", "embryo", "/store")
    journal.lose(LOSSES)
    journal.forget(Ranges(((1, 2),)))
    journal.finish("stopped")
    journal.sync()
    return journal


def said(facts):
    losses = tuple(facts.losses)
    return [facts.run, facts.finished, Ranges.join(facts.kept), Ranges.join(facts.forgotten), *losses]


def test_what_was_written_is_read(tmp_path):
    filled(tmp_path).close()
    assert read_facts(tmp_path) == Facts(
        "r-1", "embryo", "/store", "stopped", list(LOSSES), [(0, 0), (3, 3), (7, 8)], [(1, 2)], 0
    )


def test_damage_to_one_byte_costs_one_fact(tmp_path):
    filled(tmp_path).close()
    (path,) = journals_of(tmp_path)
    whole, intact = path.read_bytes(), said(read_facts(tmp_path))
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x2A]) + whole[at + 1 :])
        facts = read_facts(tmp_path)
        # A frame that is not known to be forgotten is one that is kept: that is one fact in two places.
        missing = [fact for fact in intact if fact not in said(facts)]
        assert len(missing) <= (2 if Ranges(((1, 2),)) in missing else 1), (at, whole[at - 5 : at + 5])


@given(data=st.binary(max_size=300))
def test_anything_can_be_read(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("journal")
    (folder / "journal-00000001").write_bytes(data)
    assert read_facts(folder).run == ""


@pytest.mark.parametrize(
    "fact",
    [
        [1],
        None,
        {},
        {"kept": [[2, 1]]},
        {"kept": [[0]]},
        {"forgotten": [["0", "1"]]},
        {"lost": -1, "last": 2, "where": "a", "why": "b"},
        {"lost": 1, "last": 2},
        {"run": "r"},
        {"kept": [[False, True]]},
    ],
)
def test_a_line_that_is_whole_and_says_nonsense_is_damaged(tmp_path, fact):
    (tmp_path / "journal-00000001").write_bytes(line_of(fact))
    assert read_facts(tmp_path) == Facts(damaged=1)


def test_facts_are_written_anew_when_there_are_many_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LINES", 20)
    journal = Journal(tmp_path, Facts())
    for number in range(100):
        journal.keep(Ranges.of([number]))
        journal.sync()
    journal.close()
    (path,) = journals_of(tmp_path)
    assert path.stat().st_size < 20 * 50
    assert read_facts(tmp_path).kept == [(0, 99)]


def test_losses_of_neighbours_are_one(tmp_path):
    journal = Journal(tmp_path, Facts())
    for number in range(2000):
        journal.lose([Loss(number, number, "agent", "dropped")])
    assert journal.losses == (Loss(0, 1999, "agent", "dropped"),)
    journal.sync()
    journal.close()
    assert read_facts(tmp_path).losses == [Loss(0, 1999, "agent", "dropped")]


def test_a_frame_is_lost_once(tmp_path):
    first, second = Loss(0, 5, "agent", "dropped"), Loss(3, 9, "spool", "damaged")
    journal = Journal(tmp_path, Facts())
    journal.lose([first, second])
    journal.close()
    journal = Journal(tmp_path, Facts(losses=[first, second]))
    journal.sync()
    assert read_facts(tmp_path).losses == [first, Loss(6, 9, "spool", "damaged")]
    journal.close()


def test_a_journal_that_the_disk_cannot_read_is_counted_as_damaged(tmp_path, monkeypatch):
    filled(tmp_path).close()

    def unreadable(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("pathlib.Path.open", unreadable)
    assert read_facts(tmp_path) == Facts(damaged=1)
