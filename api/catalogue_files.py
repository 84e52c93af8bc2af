"""The registry and the outbox of a data directory, for commands that work beside a running service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..sinks.catalogue.outbox import Outbox
from ..sinks.catalogue.reading import CatalogueReader
from ..sinks.catalogue.settings import CatalogueSettings
from ..sinks.registry import Registry
from ..stream.errors import UsageError
from .settings import Settings
from .stored_runs import registry_file


@dataclass(frozen=True)
class CatalogueFiles:
    """What is open of a data directory.

    Attributes
    ----------
    data : Path
        The directory.
    registry : Registry
    outbox : Outbox
    reader : CatalogueReader
    """

    data: Path
    registry: Registry
    outbox: Outbox
    reader: CatalogueReader

    def check_run(self, run: str) -> None:
        """See that a run is known.

        Raises
        ------
        UsageError
            It is not.
        """
        if self.registry.get(run) is None and not self.outbox.entries(run):
            raise UsageError(f"there is no run {run!r} in {self.data}", "octostream catalogue status lists the runs")


def catalogue_settings(settings: Settings) -> CatalogueSettings:
    """Give the settings of the catalogue.

    Raises
    ------
    UsageError
        No catalogue is set.
    """
    if settings.catalogue is None:
        remedy = "give the settings of the service to --config, with a table [catalogue] of url and facility"
        raise UsageError("no catalogue is set: runs are in the local registry only", remedy)
    return settings.catalogue


@contextmanager
def open_files(settings: Settings) -> Iterator[CatalogueFiles]:
    """Open registry and outbox; a service may have them open, too.

    Raises
    ------
    UsageError
        No service ever ran on the data directory.
    StoreError
        The file cannot be used.
    """
    file = registry_file(settings.data)
    if not file.is_file():
        raise UsageError(f"{settings.data} has no registry of runs", "give the directory of a service to --data")
    with closing(Registry(file)) as registry, closing(Outbox(file)) as outbox, closing(CatalogueReader(file)) as reader:
        yield CatalogueFiles(settings.data.resolve(), registry, outbox, reader)
