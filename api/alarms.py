"""What a person must be told: warnings and alarms, decided from plain facts, that do not flap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..stream.report import IN_PLACE_OF_GPU, STAGES, Alarm, StageReport

#: Fill at which a queue is a warning, and an alarm; thresholds of control rooms.
WARN_FILL, ALARM_FILL = 0.75, 1.0
#: Below this fill an alarm becomes a warning, and a warning ends.
CALM_FILL, FREE_FILL = 0.9, 0.6
#: A queue must be so full for this long, seconds: one late block is no alarm.
RISE_S = 2.0
#: What was raised stays for this long after its reason has gone, seconds.
FALL_S = 3.0

#: What a full queue in front of a stage means.
_MEANING = {
    "acquire": "frames come faster than they become durable",
    "spool": "new frames are dropped",
    "send": "frames come faster than workers and network take them",
    "receive": "frames wait for memory or for the disk",
    "write": "the disk is slower than the camera",
}
QUEUES = {f"queue_{stage}": stage for stage in STAGES if stage in _MEANING}
#: Every alarm there is, in the order in which they are shown.
ALARMS = (
    "frames_lost",
    "disk_full",
    "store_trouble",
    "worker_trouble",
    "gpu_lost",
    "memory_wait",
    "memory_over",
    "run_slow",
    *QUEUES,
    "spool_in_use",
    "series_trouble",
)
WARNING, ALARM = 1, 2
#: What costs no frame.
_WARNINGS = {"spool_in_use", "series_trouble"}
#: What a worker calls the device that it has in place of one that it lost.
LOST_GPU = f"{IN_PLACE_OF_GPU} that it lost"


@dataclass(frozen=True, slots=True)
class Facts:
    """What alarms are decided from.

    Attributes
    ----------
    stages : tuple of StageReport
        With the fill of their queues.
    reasons : mapping
        Texts of the alarms that are not about queues, by name; empty where there is no reason.
    """

    stages: tuple[StageReport, ...] = ()
    reasons: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Raised:
    """One alarm over time.

    Attributes
    ----------
    level : int
        0, ``WARNING`` or ``ALARM``.
    text : str
        What it says.
    since_ns : int
        Wall clock when it was raised to a warning at least.
    changing_s : float or None
        Monotonic time since which the facts ask for another level, and ...
    towards : int
        ... for which.
    """

    level: int = 0
    text: str = ""
    since_ns: int = 0
    changing_s: float | None = None
    towards: int = 0


def follow(raised: Mapping[str, Raised], facts: Facts, now_s: float, now_ns: int) -> dict[str, Raised]:
    """Give the state of every alarm after these facts.

    Parameters
    ----------
    raised : mapping
        What the last call gave; empty at first.
    facts : Facts
        Now.
    now_s : float
        Monotonic seconds.
    now_ns : int
        Wall clock.
    """
    stages = {stage.name: stage for stage in facts.stages}
    reasons = facts.reasons or {}
    after: dict[str, Raised] = {}
    for name in ALARMS:
        before = raised.get(name, Raised())
        if name in QUEUES:
            stage = stages.get(QUEUES[name], StageReport(QUEUES[name]))
            wanted, rise_s, text = fill_level(stage.fill, before.level), RISE_S, ""
        else:
            text = reasons.get(name, "")
            wanted, rise_s = _plain_level(name, text), 0.0
        after[name] = _step(before, wanted, rise_s, now_s, now_ns)
        after[name] = replace(after[name], text=_text(name, after[name], text))
    return after


def shown(raised: Mapping[str, Raised]) -> tuple[Alarm, ...]:
    """Give the alarms that stand, alarms before warnings."""
    standing = [(name, state) for name, state in raised.items() if state.level]
    standing.sort(key=lambda entry: -entry[1].level)
    return tuple(
        Alarm(name, "alarm" if state.level == ALARM else "warning", state.text, state.since_ns)
        for name, state in standing
    )


def fill_level(fill: float, level: int) -> int:
    """Give the level that a fill asks for, given the present one: it takes less to keep a level than to raise it."""
    if fill >= ALARM_FILL or (level == ALARM and fill >= CALM_FILL):
        return ALARM
    return WARNING if fill >= WARN_FILL or (level >= WARNING and fill >= FREE_FILL) else 0


def _plain_level(name: str, text: str) -> int:
    if not text:
        return 0
    return WARNING if name in _WARNINGS else ALARM


def _step(before: Raised, wanted: int, rise_s: float, now_s: float, now_ns: int) -> Raised:
    if wanted == before.level:
        return replace(before, changing_s=None, towards=wanted)
    same_way = before.changing_s is not None and (before.towards > before.level) == (wanted > before.level)
    since = before.changing_s if same_way and before.changing_s is not None else now_s
    # On the way up the smaller of two steps counts, on the way down the larger: a level must be asked for all the time.
    towards = wanted
    if same_way:
        towards = min(wanted, before.towards) if wanted > before.level else max(wanted, before.towards)
    patience = rise_s if wanted > before.level else FALL_S
    if now_s - since < patience:
        return replace(before, changing_s=since, towards=towards)
    since_ns = before.since_ns if before.level and towards else now_ns
    return Raised(towards, before.text, since_ns if towards else 0)


def _text(name: str, state: Raised, given: str) -> str:
    if name not in QUEUES:
        return given or state.text
    stage = QUEUES[name]
    if state.level == ALARM:
        return f"the queue of {stage} is full: {_MEANING[stage]}"
    return f"the queue of {stage} fills up" if state.level else ""
