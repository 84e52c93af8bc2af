"""The one word for the operator, decided from plain facts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..stream.report import RunReport, ServiceReport, Verdict

#: A run is too slow when it stays below this share of its planned rate …
RATE_FLOOR = 0.95
#: … for this long, seconds.
SLOW_S = 3.0
#: A head that says nothing for this long is not there, seconds; it reports several times a second.
SILENT_S = 3.0


@dataclass(frozen=True, slots=True)
class LiveRun:
    """What the verdict needs to know of a run that is recording.

    Attributes
    ----------
    name : str
        For people.
    rate_hz, target_hz : float or None
        Frames per second now, and planned; None where unknown or unplanned.
    slow_for_s : float
        How long the rate has been below ``RATE_FLOOR`` of the target, seconds; 0 when it is not.
    lost : int
        Frames lost so far.
    trouble : str
        What else is wrong with this run; empty otherwise.
    """

    name: str
    rate_hz: float | None = None
    target_hz: float | None = None
    slow_for_s: float = 0.0
    lost: int = 0
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Situation:
    """The facts that decide.

    Attributes
    ----------
    runs : tuple of LiveRun
        The runs that are recording, newest first.
    troubles : tuple of str
        Why workers cannot commit at present, one clause each.
    not_ready : tuple of str
        Why new runs cannot start, one clause each.
    disk_free_bytes, disk_reserve_bytes : int
        Below the reserve nothing is committed.
    draining : bool
        The service is shutting down.
    head_age_s : float or None
        Time since the head last spoke; None if it was never heard. The head itself gives 0.
    full_queues : tuple of str
        Which queues are full for longer than a moment, one clause each.
    """

    runs: tuple[LiveRun, ...] = ()
    troubles: tuple[str, ...] = ()
    not_ready: tuple[str, ...] = ()
    disk_free_bytes: int = 0
    disk_reserve_bytes: int = 0
    draining: bool = False
    head_age_s: float | None = 0.0
    full_queues: tuple[str, ...] = ()


def decide(situation: Situation) -> tuple[Verdict, str]:
    """Give the verdict and its reason, one clause without quickly changing numbers (screen readers speak it).

    NO DATA: the head is silent. DEGRADED: something is wrong that a person must look at. RECORDING: at least one run
    and nothing wrong. IDLE: no run.
    """
    silence = silent(situation.head_age_s)
    if silence:
        return "NO DATA", silence
    wrong = list(_wrong(situation))
    if wrong:
        more = len(wrong) - 1
        return "DEGRADED", wrong[0] + (f" (and {more} more)" if more else "")
    if situation.runs:
        names = [run.name for run in situation.runs]
        return "RECORDING", f"{names[0] if len(names) == 1 else f'{len(names)} runs'}, nothing lost"
    if situation.draining:
        return "IDLE", "the service is shutting down"
    if situation.not_ready:
        return "IDLE", f"not ready for a run: {situation.not_ready[0]}"
    return "IDLE", "ready for a run"


def silent(head_age_s: float | None) -> str:
    """Tell why the head counts as silent; empty when it does not."""
    if head_age_s is None:
        return "the service has not been heard yet"
    return "the service has gone silent" if head_age_s > SILENT_S else ""


def seen(report: ServiceReport | None, age_s: float | None) -> tuple[Verdict, str]:
    """Give what a viewer must be told: the head's own verdict, unless the head is silent."""
    silence = silent(None if report is None else age_s)
    if report is None or silence:
        return "NO DATA", silence
    return report.verdict, report.reason


def slow_since(since_s: float | None, run: RunReport, now_s: float) -> float | None:
    """Follow since when a run is too slow.

    Parameters
    ----------
    since_s : float or None
        What the last call gave; None at first.
    run : RunReport
        The run now.
    now_s : float
        Monotonic time, seconds.

    Returns
    -------
    float or None
        When the rate fell below ``RATE_FLOOR`` of the target; None while it is not below or nothing is planned.
    """
    if run.rate_hz is None or run.target_hz is None or run.rate_hz >= RATE_FLOOR * run.target_hz:
        return None
    return now_s if since_s is None else since_s


def _wrong(situation: Situation) -> Iterable[str]:
    for run in situation.runs:
        if run.lost:
            yield f"{run.name} lost {run.lost} frame{'s' if run.lost > 1 else ''}"
    if situation.disk_free_bytes < situation.disk_reserve_bytes:
        yield "the disk is full to its reserve, nothing is committed until space returns"
    yield from situation.troubles
    for run in situation.runs:
        if run.trouble:
            yield f"{run.name}: {run.trouble}"
        if run.target_hz is not None and run.slow_for_s >= SLOW_S:
            yield f"{run.name} is slower than its {run.target_hz:g} Hz"
    yield from situation.full_queues
    if situation.runs and situation.draining:
        yield "the service is shutting down while a run is open"
