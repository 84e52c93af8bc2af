"""What there is to say about runs whose catalogue entry was never made: read from their stores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..sinks.catalogue.facts import RunFacts
from ..sinks.runfile import read_run
from ..stream.errors import StoreError
from ..stream.report import RunReport
from .cataloguing import Cataloguing
from .described import Techniques


class FactsOfStores:
    """The facts of the runs of a data directory.

    Parameters
    ----------
    data : Path
        The directory, resolved.
    techniques : Techniques
        Say what metadata mean.

    Raises
    ------
    StoreError
        The registry cannot be used.
    """

    def __init__(self, data: Path, techniques: Techniques) -> None:
        self._cataloguing = Cataloguing(data, 1.0, techniques)  # the interval is of no matter: nothing grows here

    def close(self) -> None:
        """Let go of what is held."""
        self._cataloguing.close()

    def of(self, report: RunReport) -> RunFacts | None:
        """Give the facts of a run as the service would have told them; None without a store or a place there."""
        try:
            stored = read_run(Path(report.store))
        except StoreError:
            return None
        intents = self._cataloguing.grown(stored.run, report)
        if not intents:  # the catalogue is told nothing of such runs
            return None
        return replace(intents[0].facts, software=stored.software.get("octostream", intents[0].facts.software))
