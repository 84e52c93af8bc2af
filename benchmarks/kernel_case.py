"""A kernel beside what a user would take in its place, and beside what memory alone would take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from time import perf_counter
from typing import Any, Final

import numpy as np

#: Buffers for the measured copy: larger than any cache, so that memory is measured.
COPY_BYTES = 256 * 2**20
#: Calls of one contestant before it is the other's turn: long enough to be in step, short enough that both see the
#: same machine.
CALLS = 8


@dataclass(frozen=True)
class KernelCase:
    """A piece of work that several know how to do.

    Attributes
    ----------
    name : str
    frames : int
        Frames that one call of each contestant works on.
    moved_bytes : int
        What a call has to read and write at least; what is written counts twice, because a processor first reads what
        it will overwrite.
    ours : callable
    rivals : mapping
        By name.
    why : str
        Why it takes longer than memory would, where it takes more than twice as long.
    restore : callable, optional
        Called before each call of ours, not timed: puts back what it works on in place.
    """

    name: str
    frames: int
    moved_bytes: int
    ours: Callable[[], object]
    rivals: Mapping[str, Callable[[], object]] = field(default_factory=dict)
    why: str = ""
    restore: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class KernelResult:
    """What was measured, all in one run.

    Attributes
    ----------
    name : str
    ms : float
        Ours, a frame, one thread; median.
    moved_mb : float
        A frame.
    gb_s : float
        ``moved_mb`` over ``ms``.
    floor : float
        ``ms`` over what the measured copy bandwidth would take.
    rivals_ms : mapping
        Median a frame by name.
    why : str
        As in the case.
    """

    name: str
    ms: float
    moved_mb: float
    gb_s: float
    floor: float
    rivals_ms: Mapping[str, float]
    why: str

    @property
    def ratios(self) -> dict[str, float]:
        """Theirs over ours, by name."""
        return {name: ms / self.ms for name, ms in self.rivals_ms.items()}

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON types."""
        return {**asdict(self), "ratios": self.ratios}


def copy_bandwidth(seconds: float = 1.0) -> float:
    """Measure what one thread copies, bytes a second: read, read before overwriting, and written.

    Parameters
    ----------
    seconds : float
        How long to try; the median of all copies counts.
    """
    source, target = np.ones(COPY_BYTES, np.uint8), np.ones(COPY_BYTES, np.uint8)
    times: list[float] = []
    end = perf_counter() + seconds
    while len(times) < 3 or perf_counter() < end:
        times.append(_timed(lambda: np.copyto(target, source)))
    return 3 * COPY_BYTES / median(times)


def measure(case: KernelCase, seconds: float, bandwidth: float) -> KernelResult:
    """Measure a case, the contestants in turn.

    Parameters
    ----------
    case : KernelCase
    seconds : float
        For all contestants together; each works at least `CALLS` times.
    bandwidth : float
        Bytes a second, of `copy_bandwidth`.
    """
    contestants = {"": case.ours, **case.rivals}
    restore = {"": case.restore}
    for name, work in contestants.items():
        _timed(work, restore.get(name))  # compiled, and its memory touched
    times: dict[str, list[float]] = {name: [] for name in contestants}
    end = perf_counter() + seconds
    while not times[""] or perf_counter() < end:
        for name, work in contestants.items():
            times[name] += [_timed(work, restore.get(name)) for _ in range(CALLS if not name else 1)]
    ms = {name: 1e3 * median(values) / case.frames for name, values in times.items()}
    moved = case.moved_bytes / case.frames
    return KernelResult(
        name=case.name,
        ms=ms[""],
        moved_mb=moved / 1e6,
        gb_s=moved / ms[""] / 1e6,
        floor=ms[""] / (1e3 * moved / bandwidth),
        rivals_ms={name: value for name, value in ms.items() if name},
        why=case.why,
    )


def kernel_rows(results: Sequence[KernelResult]) -> list[tuple[str, ...]]:
    """Give a row of text for ours, and one for each rival, in the order of `KERNEL_HEAD`."""
    rows: list[tuple[str, ...]] = []
    for r in results:
        rows.append((r.name, f"{r.ms:.2f}", f"{r.moved_mb:.1f}", f"{r.gb_s:.1f}", f"{r.floor:.1f}", ""))
        rows += [(f"  {name}", f"{ms:.2f}", "", "", "", f"{r.ratios[name]:.1f}") for name, ms in r.rivals_ms.items()]
    return rows


KERNEL_HEAD: Final = ("kernel", "ms/frame", "MB/frame", "GB/s", "times the floor", "theirs/ours")


def _timed(work: Callable[[], object], restore: Callable[[], object] | None = None) -> float:
    if restore:
        restore()
    began = perf_counter()
    work()
    return perf_counter() - began
