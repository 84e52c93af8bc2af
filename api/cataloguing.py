"""What the catalogue is told of runs, and when; nothing where there is none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from .. import __version__
from ..sinks.catalogue.facts import RunFacts
from ..sinks.catalogue.intent import Intent, Kind
from ..sinks.catalogue.investigations import LOCAL, Investigations
from ..stream.clock import wall_ns
from ..stream.errors import RefusedError
from ..stream.model import Run
from ..stream.ranges import Ranges
from ..stream.report import RunReport
from .described import Techniques
from .stored_runs import registry_file


class Cataloguing:
    """Makes the intents of runs.

    Parameters
    ----------
    data : Path
        Directory of the stores.
    every_s : float
        How often the catalogue is told of a run that grows, seconds; 0: there is no catalogue.
    techniques : Techniques
        Say what metadata mean.
    """

    def __init__(self, data: Path, every_s: float, techniques: Techniques) -> None:
        self._data = data.resolve()
        self._every_s = every_s
        self._techniques = techniques
        self._investigations = Investigations(registry_file(data)) if every_s else None
        self._told: dict[str, tuple[float, Ranges]] = {}

    def close(self) -> None:
        """Let go of what is held."""
        if self._investigations is not None:
            self._investigations.close()

    def check(self, run: Run) -> None:
        """Refuse a run whose investigation is known not to be in ICAT; ICAT itself is not asked, and may be away.

        Raises
        ------
        RefusedError
            Saying which visits there are.
        """
        if self._investigations is None or run.investigation == LOCAL:
            return
        if self._investigations.ask(run.investigation, run.visit, wall_ns()) == "missing":
            visits = ", ".join(map(repr, self._investigations.visits(run.investigation)))
            what = f"ICAT has no investigation {run.investigation!r} with visit {run.visit!r}"
            has = f"its visits are {visits}" if visits else f"--investigation {LOCAL} records without ICAT"
            raise RefusedError(what, f"check --investigation and --visit; {has}")

    def opened(self, run: Run, report: RunReport) -> Sequence[Intent]:
        """Give what the catalogue is told of a run that is there."""
        return self._intents("opened", run, report)

    def grown(self, run: Run, report: RunReport) -> Sequence[Intent]:
        """Give what the catalogue is told of a run that goes on."""
        return self._intents("grown", run, report)

    def ended(self, run: Run, report: RunReport) -> Sequence[Intent]:
        """Give what the catalogue is told of a run that is over."""
        return self._intents("sealed" if report.status == "complete" else "failed", run, report)

    def due(self, now: float, runs: Iterable[tuple[Run, Ranges]]) -> Sequence[str]:
        """Give the open runs of which more is committed than the catalogue was told, each once in a while.

        Parameters
        ----------
        now : float
            Monotonic seconds.
        runs : iterable of (Run, Ranges)
            All that are open, with their durable blocks. Of others nothing is remembered.
        """
        if self._investigations is None:
            return ()
        before, self._told = self._told, {}
        due: list[str] = []
        for run, blocks in runs:
            if run.investigation == LOCAL:
                continue
            since, told = before.get(run.id, (now, blocks))
            if now - since >= self._every_s and blocks != told:
                since, told = now, blocks
                due.append(run.id)
            self._told[run.id] = since, told
        return due

    def _intents(self, kind: Kind, run: Run, report: RunReport) -> Sequence[Intent]:
        if self._investigations is None or run.investigation == LOCAL:
            return ()
        return (Intent(kind, RunFacts.of(run, report, self._data, __version__, self._techniques.for_catalogue(run))),)
