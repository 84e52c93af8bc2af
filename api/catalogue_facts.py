"""What there is to say about runs whose catalogue entry was never made: read from their stores."""

from __future__ import annotations

from pathlib import Path

from .. import __version__
from ..sinks.catalogue.facts import RunFacts
from ..sinks.catalogue.investigations import LOCAL
from ..sinks.runfile import read_run
from ..stream.errors import StoreError
from ..stream.report import RunReport
from .described import Techniques


def facts_of_store(data: Path, techniques: Techniques, report: RunReport) -> RunFacts | None:
    """Give the facts of a run as the service would have told them.

    Parameters
    ----------
    data : Path
        Directory of the stores, resolved.
    techniques : Techniques
        Say what metadata mean.
    report : RunReport
        How far the run is, and where its store.

    Returns
    -------
    RunFacts or None
        None without a store in the directory, and of a run that belongs into no catalogue.
    """
    if report.investigation == LOCAL:
        return None
    try:
        stored = read_run(Path(report.store))
        software = stored.software.get("octostream", __version__)
        return RunFacts.of(stored.run, report, data, software, techniques.for_catalogue(stored.run))
    except StoreError:
        return None
