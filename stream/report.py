"""What the service tells about itself, several times a second: the one picture that page, metrics and API show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

#: How the device of a worker begins that has, or had, a GPU and reduces on the CPU for now.
IN_PLACE_OF_GPU = "cpu, in place of a GPU"
Verdict = Literal["RECORDING", "DEGRADED", "IDLE", "NO DATA"]
#: Stages of the path of a frame, in its order; ``spool`` exists only where an agent has one.
STAGES = ("acquire", "spool", "send", "receive", "reduce", "write", "publish")


@dataclass(frozen=True)
class StageReport:
    """One stage of the path of a frame, with the same numbers for every stage.

    Attributes
    ----------
    name : str
        One of ``STAGES``.
    rate_hz : float
        Frames per second over the last few seconds.
    queue, queue_capacity : int
        Frames waiting in front of the stage, and how many may; of all processes together.
    fill : float
        Of the fullest single queue among them, 0 to 1, of those that should not be full: of runs with a planned rate.
    p50_ms, p99_ms : float or None
        Time that the stage took for a frame over the last ten seconds (for ``write``: for a block).
    lost : int
        Frames lost here, since the service started.
    frames_total, bytes_total : int
        Since the service started.
    buckets : tuple of (float, int)
        Cumulative counts of the stage's duration: upper bound in seconds, count; since the service started.
    duration_sum_s, durations : float, int
        Sum and number of all durations counted.
    """

    name: str
    rate_hz: float = 0.0
    queue: int = 0
    queue_capacity: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    lost: int = 0
    frames_total: int = 0
    bytes_total: int = 0
    buckets: tuple[tuple[float, int], ...] = ()
    duration_sum_s: float = 0.0
    durations: int = 0
    fill: float = 0.0


@dataclass(frozen=True)
class RunReport:
    """One run: of the live ones in the report, of all in the registry.

    Attributes
    ----------
    id, name, investigation, store, source, recipe : str
        Names; ``store`` is a path on the tier, ``recipe`` the recipe's name.
    status : str
        ``recording``, ``complete`` or ``incomplete``.
    shape : tuple of int
        Planned (t, c, z, y, x).
    expected, received, stored, lost : int
        Frames. ``received`` counts frames reduced at least once.
    rate_hz, target_hz : float or None
        Frames per second reduced over the last seconds (whole run once sealed), and planned.
    late : int
        Frames that the agent's pacing started later than one period after they were due.
    raw_bytes, stored_bytes : int
        Of the committed blocks: bytes that came and bytes that were written.
    reduced_ms, durable_ms : mapping
        ``{"p50": …, "p99": …}`` from camera to reduced and from camera to durable, milliseconds or None.
    last_frame_ns, opened_ns, sealed_ns : int
        Wall clock; 0 where not yet.
    reason : str
        Why the run is incomplete or in trouble; empty otherwise.
    instrument : str
        Whose key opened it; empty where the service uses no keys.
    visit : str
        Of the investigation; empty where none was named.
    technique : str
        Whose template its metadata follow.
    """

    id: str
    name: str
    investigation: str
    store: str
    source: str
    recipe: str
    status: str
    shape: tuple[int, ...]
    expected: int
    received: int = 0
    stored: int = 0
    lost: int = 0
    rate_hz: float | None = None
    target_hz: float | None = None
    late: int = 0
    raw_bytes: int = 0
    stored_bytes: int = 0
    reduced_ms: Mapping[str, float | None] = field(default_factory=dict)
    durable_ms: Mapping[str, float | None] = field(default_factory=dict)
    last_frame_ns: int = 0
    opened_ns: int = 0
    sealed_ns: int = 0
    reason: str = ""
    instrument: str = ""
    visit: str = ""
    technique: str = "free"


@dataclass(frozen=True)
class WorkerReport:
    """One worker process.

    Attributes
    ----------
    id : str
        Unique to one life of the process.
    ready : bool
        Compiled, bound and known to the head.
    device : str
        ``cpu`` or the name of a GPU; begins with `IN_PLACE_OF_GPU` where the CPU stands in for one.
    rss_bytes : int
        Resident memory.
    trouble : str
        Why it cannot commit at present; empty otherwise.
    memory_bytes : int
        What it may use.
    """

    id: str
    ready: bool
    device: str
    rss_bytes: int
    trouble: str = ""
    memory_bytes: int = 0


@dataclass(frozen=True)
class Alarm:
    """Something that a person must be told.

    Attributes
    ----------
    name : str
        Of a short fixed list.
    severity : str
        ``warning`` or ``alarm``.
    text : str
        One clause.
    since_ns : int
        Wall clock when it was first seen.
    """

    name: str
    severity: Literal["warning", "alarm"]
    text: str
    since_ns: int


@dataclass(frozen=True)
class ServiceReport:
    """The whole service at one moment.

    Attributes
    ----------
    time_ns : int
        Wall clock when this was made.
    verdict : str
        One word for the operator.
    reason : str
        Why this word, one clause.
    runs : tuple of RunReport
        The runs that are recording, newest first, and those sealed within the last minute.
    stages : tuple of StageReport
        In the order of the path of a frame.
    workers : tuple of WorkerReport
        Known workers.
    not_ready : tuple of str
        Why new runs cannot start (empty: they can).
    disk_free_bytes, disk_total_bytes, disk_reserve_bytes : int
        Of the file system under the data directory; below the reserve nothing is committed.
    write_bytes_per_s : float
        Bytes of products written per second, last ten seconds.
    draining : bool
        The service is shutting down.
    refused_connections, malformed_messages : int
        Since the service started: connections of agents that were not let in, and messages that made no sense.
    alarms : tuple of Alarm
        What stands, alarms before warnings.
    head_rss_bytes : int
        Resident memory of the head.
    """

    time_ns: int
    verdict: Verdict
    reason: str
    runs: tuple[RunReport, ...] = ()
    stages: tuple[StageReport, ...] = ()
    workers: tuple[WorkerReport, ...] = ()
    not_ready: tuple[str, ...] = ()
    disk_free_bytes: int = 0
    disk_total_bytes: int = 0
    disk_reserve_bytes: int = 0
    write_bytes_per_s: float = 0.0
    draining: bool = False
    refused_connections: int = 0
    malformed_messages: int = 0
    alarms: tuple[Alarm, ...] = ()
    head_rss_bytes: int = 0

    @property
    def time_to_full_s(self) -> float | None:
        """Seconds until the disk reaches its reserve at the present rate; None where nothing is written."""
        if self.write_bytes_per_s <= 0:
            return None
        return max(0.0, (self.disk_free_bytes - self.disk_reserve_bytes) / self.write_bytes_per_s)

    def to_json(self) -> dict[str, Any]:
        """Give the report as JSON types."""
        return {**asdict(self), "time_to_full_s": self.time_to_full_s}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ServiceReport:
        """Read what ``to_json`` gave."""
        plain = {k: v for k, v in data.items() if k != "time_to_full_s"}
        return cls(
            **{
                **plain,
                "runs": tuple(run_report(r) for r in plain["runs"]),
                "stages": tuple(stage_report(s) for s in plain["stages"]),
                "workers": tuple(WorkerReport(**w) for w in plain["workers"]),
                "not_ready": tuple(plain["not_ready"]),
                "alarms": tuple(Alarm(**a) for a in plain.get("alarms", ())),
            }
        )


def stage_report(data: Mapping[str, Any]) -> StageReport:
    """Make a stage report from JSON types."""
    return StageReport(**{**data, "buckets": tuple((bound, count) for bound, count in data.get("buckets", ()))})


def run_report(data: Mapping[str, Any]) -> RunReport:
    """Make a run report from JSON types."""
    return RunReport(**{**data, "shape": tuple(data["shape"])})


@dataclass(frozen=True)
class PreviewFrame:
    """A reduced frame made small for people to look at; lossy copies only, latest wins.

    Attributes
    ----------
    run : str
        Run id.
    number : int
        Frame number.
    timestamp_ns : int
        Wall clock of the agent when the frame was complete.
    height, width : int
        Size of this copy, pixels.
    step : int
        Level-0 pixels per pixel of this copy.
    pixels : bytes
        uint16, little-endian, row by row.
    """

    run: str
    number: int
    timestamp_ns: int
    height: int
    width: int
    step: int
    pixels: bytes
