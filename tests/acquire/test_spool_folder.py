"""Where spools lie, and the folder of all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from octostream.acquire.spool_errors import SpoolError
from octostream.acquire.spool_folder import SpoolFolder, spool_folder
from octostream.stream.errors import UsageError

from .spooled import TO, make, put


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"OCTOSTREAM_SPOOL": "/fast/spool", "XDG_STATE_HOME": "/state"}, Path("/fast/spool")),
        ({"XDG_STATE_HOME": "/state"}, Path("/state/octostream/spool")),
        ({"OCTOSTREAM_SPOOL": "", "XDG_STATE_HOME": ""}, Path.home() / ".local/state/octostream/spool"),
    ],
)
def test_where_spools_lie(environment, folder, monkeypatch):
    for name in ("OCTOSTREAM_SPOOL", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert spool_folder() == folder


def test_spools_are_listed_oldest_first_and_opened_by_their_names(tmp_path, monkeypatch):
    times = iter([2 * 10**18, 10**18])
    monkeypatch.setattr("octostream.acquire.spool.wall_ns", lambda: next(times))
    made = [make(tmp_path), make(tmp_path)]
    put(made[0], 4)
    for spool in made:
        spool.close()
    folder = SpoolFolder(tmp_path)
    assert [(s.id, s.frames, s.to) for s in folder.spools()] == [(made[1].id, 0, TO), (made[0].id, 1, TO)]
    spool = folder.open(made[0].id)
    assert list(spool.frames) == [4]
    spool.close()
    with pytest.raises(UsageError, match="there is no spool 'nothing'"):
        folder.open("nothing")


def test_a_folder_that_is_not_there_has_no_spools(tmp_path):
    assert SpoolFolder(tmp_path / "nothing").spools() == ()
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match=r"cannot read .*file: Not a directory"):
        SpoolFolder(tmp_path / "file").spools()


def test_what_an_interrupted_removal_leaves_is_listed_and_removed(tmp_path, monkeypatch):
    spool = make(tmp_path)
    put(spool, 1)
    spool.close()

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("shutil.rmtree", interrupted)
    folder = SpoolFolder(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        folder.discard(spool.id)
    monkeypatch.undo()
    (left,) = folder.spools()
    assert "is no spool" in left.problem
    folder.discard(spool.id)
    assert not list(tmp_path.iterdir())
