"""The clocks: monotonic for how long, wall for when."""

from __future__ import annotations

import time


def monotonic_s() -> float:
    """Give seconds that never go back; for time-outs, leases and rates."""
    return time.monotonic()


def wall_ns() -> int:
    """Give nanoseconds since 1970; for stamps that people and other hosts read."""
    return time.time_ns()
