"""What a person at a terminal sees of work that takes long."""

import io
import sys

import pytest
from octostream.api.progress import check_progress, stages_progress
from rich.console import Console


def terminal():
    return Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)


def test_each_stage_has_its_bar_from_its_beginning_on():
    console = terminal()
    with stages_progress(console, ("reducing", "frames"), ("following", "time points")) as (reducing, following):
        reducing(24, 24)
        assert "following" not in console.file.getvalue()
        following(3, 7)
    last = console.file.getvalue()
    for words in (("reducing", "24/24", "frames"), ("following", "3/7", "time points")):
        assert any(all(word in line for word in words) for line in last.splitlines()), last


def test_nothing_is_drawn_where_nobody_watches():
    console = Console(file=io.StringIO())
    with (
        stages_progress(console, ("reducing", "frames"), ("following", "time points")) as shows,
        check_progress(console) as show,
    ):
        for each in (*shows, show):
            each(1, 2)
    assert console.file.getvalue() == ""


@pytest.mark.parametrize("terminal_too", [True, False])
def test_what_goes_to_a_file_is_not_drawn_above_a_bar(monkeypatch, terminal_too):
    console, err = terminal(), io.StringIO()
    err.isatty = lambda: terminal_too
    monkeypatch.setattr(sys, "stderr", err)
    with stages_progress(console, ("reducing", "frames")):
        print("a line of the log", file=sys.stderr)
    assert ("a line of the log" in console.file.getvalue()) is terminal_too
    assert ("a line of the log" in err.getvalue()) is not terminal_too
