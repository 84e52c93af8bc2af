"""Keeping a frame rate: when each frame is due, and which ones were late."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..stream.errors import UsageError


@dataclass(frozen=True, slots=True)
class Schedule:
    """When frames are due: an absolute timetable, so that delays and rounding never add up.

    Attributes
    ----------
    start_s : float
        When frame ``first`` is due, seconds on the caller's monotonic clock.
    rate_hz : float or None
        Frames per second; None: every frame is due at once.
    first : int
        Number of the frame that starts the timetable.
    """

    start_s: float
    rate_hz: float | None
    first: int = 0

    def due_s(self, number: int) -> float:
        """Time at which a frame is due: ``start + (number - first) / rate``, seconds."""
        if self.rate_hz is None:
            return self.start_s
        return self.start_s + (number - self.first) / self.rate_hz

    def wait_s(self, number: int, now_s: float) -> float:
        """Time left until a frame is due, seconds; 0 when it is due already."""
        return max(0.0, self.due_s(number) - now_s) if self.rate_hz is not None else 0.0

    def is_late(self, number: int, now_s: float) -> bool:
        """Whether a frame that starts now starts more than one period after it was due."""
        return self.rate_hz is not None and now_s - self.due_s(number) > 1.0 / self.rate_hz


class Pacer:
    """Holds a loop to a schedule that starts with the first frame it is asked for.

    The timetable is absolute: a frame that was held up does not move the frames after it, which follow without
    waiting until the timetable is met again. So the mean rate is exact as long as the work keeps up on average, and
    ``late`` tells how often it did not: it counts the frames that started more than one period after they were due.

    Parameters
    ----------
    rate_hz : float or None
        Frames per second; None never waits and never counts a frame as late.
    clock : callable
        Monotonic clock, seconds.
    sleep : callable
        Waits for that many seconds. It may return early to end the loop (an ``Event.wait`` does); the pacer then
        returns too.
    """

    def __init__(
        self,
        rate_hz: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        if rate_hz is not None and not (math.isfinite(rate_hz) and rate_hz > 0):
            raise UsageError(f"rate {rate_hz} Hz is not a positive number", "give --rate in frames per second")
        self._rate_hz = rate_hz
        self._clock = clock
        self._sleep = sleep
        self._schedule: Schedule | None = None
        self._late = 0

    @property
    def late(self) -> int:
        """Frames so far that started more than one period after they were due."""
        return self._late

    def wait(self, number: int) -> bool:
        """Return when frame ``number`` is due, and tell whether it is late.

        The first call starts the timetable, whatever its number: a resumed run goes on from where it is.
        """
        now_s = self._clock()
        if self._schedule is None:
            self._schedule = Schedule(now_s, self._rate_hz, number)
        late = self._schedule.is_late(number, now_s)
        self._late += late
        wait_s = self._schedule.wait_s(number, now_s)
        if wait_s > 0.0:
            self._sleep(wait_s)
        return late
