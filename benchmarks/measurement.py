"""What was measured of one contestant in one run, and what several runs say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Measurement:
    """One run of one contestant, from its first frame until the last byte that it makes durable.

    Attributes
    ----------
    frames : int
        Frames done.
    seconds : float
        Time that took.
    cpu_s : mapping
        CPU time by part (``"agent"``, ``"service"``), all processes and threads of it, seconds.
    peak_bytes : int
        Largest sum of the resident memory of all processes, without the frames kept ready.
    raw_bytes, stored_bytes : int
        Bytes taken in, and bytes of what was written.
    latency_ms : mapping
        ``"reduced"`` and ``"durable"``, each with ``"p50"`` and ``"p99"``, milliseconds from capture; empty where the
        contestant has no such thing.
    """

    frames: int
    seconds: float
    cpu_s: Mapping[str, float]
    peak_bytes: int
    raw_bytes: int
    stored_bytes: int
    latency_ms: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)

    @property
    def rate_hz(self) -> float:
        """Frames a second."""
        return self.frames / self.seconds

    @property
    def cpu_ms(self) -> dict[str, float]:
        """CPU time a frame by part, milliseconds."""
        return {part: 1e3 * seconds / self.frames for part, seconds in self.cpu_s.items()}

    @property
    def stored_mb(self) -> float:
        """Bytes stored a frame, in millions."""
        return self.stored_bytes / self.frames / 1e6

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Measurement:
        """Take what ``to_json`` gave."""
        return cls(**data)


@dataclass(frozen=True)
class Result:
    """All runs of one contestant.

    Attributes
    ----------
    name, what : str
        The contestant, and what it does and does not do.
    missing : str
        Why it did not run and what to do, if it did not.
    measurements : tuple of Measurement
        One a run.
    """

    name: str
    what: str
    missing: str = ""
    measurements: tuple[Measurement, ...] = ()

    @property
    def rate_hz(self) -> float:
        """Median rate, frames a second."""
        return median(m.rate_hz for m in self.measurements)

    @property
    def spread_hz(self) -> tuple[float, float]:
        """Lowest and highest rate, frames a second."""
        rates = [m.rate_hz for m in self.measurements]
        return min(rates), max(rates)

    @property
    def cpu_ms(self) -> dict[str, float]:
        """Median CPU time a frame by part, milliseconds."""
        return {part: median(m.cpu_ms[part] for m in self.measurements) for part in self.measurements[0].cpu_s}

    @property
    def peak_bytes(self) -> int:
        """Largest memory of all runs."""
        return max(m.peak_bytes for m in self.measurements)

    @property
    def stored_mb(self) -> float:
        """Median of bytes stored a frame, in millions."""
        return median(m.stored_mb for m in self.measurements)

    @property
    def latency_ms(self) -> dict[str, dict[str, float]]:
        """Median over the runs of each latency, milliseconds."""
        kinds = {kind: quantiles for m in self.measurements for kind, quantiles in m.latency_ms.items()}
        return {kind: {q: self._latency(kind, q) for q in quantiles} for kind, quantiles in kinds.items()}

    def _latency(self, kind: str, quantile: str) -> float:
        known = [m.latency_ms[kind].get(quantile) for m in self.measurements if kind in m.latency_ms]
        return median(value for value in known if value is not None)

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON types, every run and the medians."""
        facts: dict[str, Any] = {"name": self.name, "what": self.what, "missing": self.missing}
        if self.measurements:
            facts |= {
                "rate_hz": self.rate_hz,
                "spread_hz": list(self.spread_hz),
                "cpu_ms_per_frame": self.cpu_ms,
                "peak_bytes": self.peak_bytes,
                "stored_mb_per_frame": self.stored_mb,
                "latency_ms": self.latency_ms,
                "runs": [m.to_json() for m in self.measurements],
            }
        return facts


def ratios(ours: Result, others: Sequence[Result]) -> dict[str, float]:
    """Give how many times the rate of each other contestant ours is, by name; only of those that ran."""
    return {other.name: ours.rate_hz / other.rate_hz for other in others if other.measurements}
