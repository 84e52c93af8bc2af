"""Progress of a recording on a terminal; nothing where nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TaskID, TextColumn, TimeElapsedColumn

from ..stream.clock import monotonic_s

#: The display is refreshed this often, seconds: never once a frame.
REFRESH_S = 0.2
#: Where nobody watches a terminal, a line is printed this often, seconds.
LINE_S = 2.0


def bars(console: Console, *columns: ProgressColumn, auto_refresh: bool = True) -> Progress:
    """Make progress bars that are gone at the end.

    What is written on standard error meanwhile is drawn above them where that is a terminal, too, and goes to a file
    where it is a file.
    """
    redirect = sys.stderr.isatty()
    return Progress(*columns, console=console, auto_refresh=auto_refresh, transient=True, redirect_stderr=redirect)


@contextmanager
def frame_progress(console: Console, frames: int) -> Iterator[Callable[[int, int, int], None]]:
    """Show frames sent of frames planned, frames not yet durable, and late frames.

    Parameters
    ----------
    console : Console
        Where.
    frames : int
        How many are planned.

    Yields
    ------
    callable
        Called with (sent, held, late), as often as one likes.
    """
    if not console.is_terminal:
        yield _lines(console, frames)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=32),
        MofNCompleteColumn(),
        TextColumn("frames  {task.fields[rate]:6.1f} Hz  {task.fields[held]} on their way  {task.fields[late]} late"),
        TimeElapsedColumn(),
    )
    with bars(console, *columns, auto_refresh=False) as progress:
        task = progress.add_task("recording", total=frames, rate=0.0, held=0, late=0)
        began = monotonic_s()

        def bar(sent: int, held: int, late: int) -> None:
            rate = sent / max(monotonic_s() - began, 1e-9)
            progress.update(task, completed=sent, rate=rate, held=held, late=late, refresh=True)

        yield _sometimes(bar, REFRESH_S, frames)


Show = Callable[[int, int, int], None]


def _lines(console: Console, frames: int) -> Show:
    began = monotonic_s()

    def line(sent: int, held: int, late: int) -> None:
        rate = sent / max(monotonic_s() - began, 1e-9)
        console.print(f"recording  {sent}/{frames} frames  {rate:.1f} Hz  {held} on their way  {late} late")

    return _sometimes(line, LINE_S, frames)


def _sometimes(show: Show, seconds: float, frames: int) -> Show:
    """Call through at most once in so many seconds, and for the last frame."""
    shown = monotonic_s()

    def maybe(sent: int, held: int, late: int) -> None:
        nonlocal shown
        now = monotonic_s()
        if now - shown >= seconds or sent == frames:
            shown = now
            show(sent, held, late)

    return maybe


@contextmanager
def check_progress(
    console: Console, doing: str = "verifying", things: str = "blocks"
) -> Iterator[Callable[[int, int], None]]:
    """Show on a terminal how far a verification is, or other work on a known number of things.

    Parameters
    ----------
    console : Console
        Where.
    doing, things : str
        What is done, to what.

    Yields
    ------
    callable
        Called with (things done, things in all).
    """
    with stages_progress(console, (doing, things)) as (show,):
        yield show


@contextmanager
def stages_progress(console: Console, *stages: tuple[str, str]) -> Iterator[Sequence[Callable[[int, int], None]]]:
    """Show on a terminal how far work is that has several stages, a bar for each from its beginning on.

    Parameters
    ----------
    console : Console
        Where.
    stages : (str, str)
        What is done, to what.

    Yields
    ------
    sequence of callable
        One for each stage, called with (things done, things in all).
    """
    if not console.is_terminal:
        yield [lambda done, total: None] * len(stages)
        return
    text = TextColumn("{task.description}"), TextColumn("{task.fields[things]}")
    with bars(console, text[0], BarColumn(bar_width=32), MofNCompleteColumn(), text[1]) as p:
        tasks = [p.add_task(doing, total=None, visible=not k, things=of) for k, (doing, of) in enumerate(stages)]
        yield [partial(_advance, p, task) for task in tasks]


def _advance(progress: Progress, task: TaskID, done: int, total: int) -> None:
    progress.update(task, completed=done, total=total, visible=True)
