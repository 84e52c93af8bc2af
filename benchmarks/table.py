"""The results as text for people."""

from __future__ import annotations

from collections.abc import Sequence

from .machine import Machine
from .measurement import Result, ratios

HEAD = ("contestant", "frames/s", "lowest–highest", "ours/theirs", "CPU ms/frame", "memory MB", "stored MB/frame")


def machine_lines(machine: Machine) -> list[str]:
    """Give machine, software and date."""
    libraries = ", ".join(f"{name} {number}" for name, number in machine.versions.items() if number)
    return [
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_bytes / 2**30:.1f} GiB memory, {machine.disk}",
        f"{machine.system}, Python {machine.python}, {libraries}",
        f"{machine.date}, load {machine.load:g} at the start",
    ]


def rows(results: Sequence[Result], compared: int) -> list[tuple[str, ...]]:
    """Give a row of text a contestant, in the order of ``HEAD``.

    Parameters
    ----------
    results : sequence of Result
        Ours first.
    compared : int
        How many of them, from the first on, did the same kind of thing, so that a ratio means something.
    """
    ours = results[0]
    times = ratios(ours, results[1:compared])
    return [_row(r, times.get(r.name)) if r.measurements else (r.name, *["–"] * (len(HEAD) - 1)) for r in results]


def _row(result: Result, ratio: float | None) -> tuple[str, ...]:
    low, high = result.spread_hz
    return (
        result.name,
        f"{result.rate_hz:.1f}",
        f"{low:.1f}–{high:.1f}",
        "" if ratio is None else f"{ratio:.2f}",
        f"{sum(result.cpu_ms.values()):.2f}",
        f"{result.peak_bytes / 1e6:.0f}",
        f"{result.stored_mb:.3g}" if result.stored_mb else "",
    )


def aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Give a table as lines: the first column to the left, numbers to the right, nothing cut off."""
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    return [_line(row, widths) for row in table]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    numbers = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
    return "  ".join([row[0].ljust(widths[0]), *numbers]).rstrip()


def notes(results: Sequence[Result]) -> list[str]:
    """Give what each contestant does and does not, what is missing, how CPU time divides, and latencies."""
    return [line for result in results for line in _notes(result)]


def _notes(result: Result) -> list[str]:
    lines = [f"{result.name}: {result.what}"]
    if not result.measurements:
        return [*lines, f"{result.name}: {result.missing}"]
    if len(result.cpu_ms) > 1:
        parts = ", ".join(f"{part} {ms:.2f} ms" for part, ms in result.cpu_ms.items())
        lines.append(f"{result.name}, CPU a frame: {parts}")
    for kind, quantiles in result.latency_ms.items():
        times = ", ".join(f"{name} {value:.1f} ms" for name, value in quantiles.items())
        lines.append(f"{result.name}, camera → {kind}: {times}")
    return lines
