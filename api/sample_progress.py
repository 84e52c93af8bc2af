"""Progress of a download on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn

from .progress import bars


@contextmanager
def sample_progress(console: Console, name: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show bytes fetched of bytes expected.

    Yields
    ------
    callable
        Called with (bytes so far, bytes in all or None).
    """
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=32), DownloadColumn(), TransferSpeedColumn())
    with bars(console, *columns) as progress:
        task = progress.add_task(f"sample {name}", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
