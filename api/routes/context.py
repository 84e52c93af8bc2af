"""What every route reads from, passed in and never fetched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from starlette.exceptions import HTTPException

from ...sinks.catalogue.standing import Standing
from ...stream.report import RunReport, ServiceReport
from ..catalogue_watch import Catalogue
from ..feed import Feed, Runs
from ..metrics import Viewers

#: Run id that stands for whatever is recording.
LIVE = "live"


@dataclass(frozen=True)
class Context:
    """The web process' sources.

    Attributes
    ----------
    feed : Feed
        Latest report and previews.
    runs : Runs
        Registry, ledgers, projections.
    data : Path
        Directory of the stores.
    version : str
        Version of octostream.
    ingest : str
        Address that agents connect to, for the page's example command; empty if not known.
    now_ns : callable
        Wall clock, nanoseconds.
    viewers : Viewers
        Counts of this process.
    catalogue : Catalogue or None
        How runs stand in the catalogue; None where none is set.
    """

    feed: Feed
    runs: Runs
    data: Path
    version: str
    ingest: str
    now_ns: Callable[[], int]
    viewers: Viewers = field(default_factory=Viewers)
    catalogue: Catalogue | None = None

    def age_s(self, report: ServiceReport | None) -> float | None:
        """Give the age of a report, seconds, never negative; None for no report."""
        return None if report is None else max(0.0, (self.now_ns() - report.time_ns) / 1e9)

    def live(self) -> str | None:
        """Give the id of the newest run that is recording."""
        report = self.feed.report()
        return next((run.id for run in report.runs if run.status == "recording"), None) if report else None

    def reported(self, run_id: str) -> RunReport | None:
        """Give a run as the head reports it at present, which is fresher than the registry."""
        report = self.feed.report()
        return next((run for run in report.runs if run.id == run_id), None) if report else None

    def known(self, run_id: str) -> RunReport | None:
        """Give a run by id, or the one that records for ``live``; may read from disk."""
        actual = self.live() if run_id == LIVE else run_id
        return (self.reported(actual) or self.runs.get(actual)) if actual else None

    def standings(self, runs: Sequence[RunReport]) -> Mapping[str, Standing]:
        """Tell how runs stand in the catalogue, all at once; nothing where there is none. Reads from disk."""
        return self.catalogue.standings({run.id: run.investigation for run in runs}) if self.catalogue else {}

    def find(self, run_id: str) -> RunReport:
        """Give a run, or answer 404 with what is wrong."""
        run = self.known(run_id)
        if run is None:
            raise HTTPException(404, unknown(run_id))
        return run


def unknown(run_id: str) -> str:
    """Say that a run is not there and what to do."""
    if run_id == LIVE:
        return "no run is recording: start one with octostream acquire, or ask for a run by its id"
    return f"no run {run_id[:100]!r}: /api/v1/runs lists the runs there are"
