"""What is on disk, for the web process: the registry, ledgers and projections of runs, read-only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..sinks.reading import Which, latest_projection, read_ledger
from ..sinks.registry import Registry
from ..sinks.runfile import read_run
from ..stream.errors import StoreError
from ..stream.ledger import Ledger
from ..stream.model import Run
from ..stream.report import RunReport


class StoredRuns:
    """The runs of a data directory.

    Parameters
    ----------
    data : Path
        Directory of the stores.
    """

    def __init__(self, data: Path) -> None:
        self._registry = Registry(registry_file(data))

    def list(self, limit: int, before: str | None) -> Sequence[RunReport]:
        """Give up to ``limit`` runs, newest first, of those opened before run ``before`` (None: of all)."""
        return self._registry.list(limit, before)

    def get(self, run_id: str) -> RunReport | None:
        """Give a run; None if there is no such run."""
        return self._registry.get(run_id)

    def ledger(self, run_id: str) -> Ledger | None:
        """Give the ledger of a run; None if there is no such run, or its store is gone."""
        run = self.get(run_id)
        try:
            return read_ledger(Path(run.store)) if run else None
        except StoreError:
            return None

    def recipe(self, run_id: str) -> Mapping[str, Any] | None:
        """Give the recipe of a run as its store has it; None if there is no such run, or its store is gone."""
        found = self._described(run_id)
        return found.recipe if found else None

    def metadata(self, run_id: str) -> Mapping[str, str | float | int | bool] | None:
        """Give what the operator said of a run; None if there is no such run, or its store is gone."""
        found = self._described(run_id)
        return found.plan.metadata if found else None

    def _described(self, run_id: str) -> Run | None:
        run = self.get(run_id)
        try:
            return read_run(Path(run.store)).run if run else None
        except StoreError:
            return None

    def projection(self, run_id: str, which: str, c: int) -> tuple[int, NDArray[np.uint16]] | None:
        """Give the latest projection of a run, small; None where nothing is committed yet."""
        run = self.get(run_id)
        try:
            return latest_projection(Path(run.store), cast("Which", which), c) if run else None
        except StoreError:
            return None


def registry_file(data: Path) -> Path:
    """Give the place of the run registry in a data directory."""
    return data / ".octostream" / "runs.sqlite"
