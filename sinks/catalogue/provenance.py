"""Where the data of a run came from: a Job in ICAT, with what went in and what came out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import description as d
from .facts import RunFacts
from .lookup import Lookup
from .text import literal, shortened
from .vocabulary import IDENTITY, application


class Provenance:
    """The jobs that runs have in one ICAT.

    Neither a Job nor a DataCollection has a key of its own there: each collection carries the run's identity, and is
    looked for before it is made. That is safe because one deliverer alone makes them.

    Parameters
    ----------
    lookup : Lookup
    """

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._client = lookup.client

    def ensure(self, facts: RunFacts, datasets: Mapping[d.Part, Any]) -> None:
        """Let a run have its job: the output collection and the job are made by one call, all of it or nothing."""
        if self._collection(d.identity(facts, "out")) is not None:
            return
        job = self._client.new(
            "Job",
            application=self._lookup.create(application(facts.software)),
            arguments=shortened(f"run {facts.run}, recipe {facts.recipe.get('name', '')} {d.recipe_digest(facts)}"),
        )
        if "raw" in datasets:
            job.inputDataCollection = self._input(facts, datasets["raw"])
        output = self._new_collection(facts, "out", datasets["reduced"])
        output.jobsAsOutput = [job]
        output.create()

    def _input(self, facts: RunFacts, raw: Any) -> Any:
        found = self._collection(d.identity(facts, "in"))
        if found is None:
            found = self._new_collection(facts, "in", raw)
            found.create()
        return self._client.new("DataCollection", id=found.id)

    def _new_collection(self, facts: RunFacts, end: str, dataset: Any) -> Any:
        new = self._client.new
        kind = self._lookup.get(IDENTITY.needed)
        collection = new("DataCollection")
        collection.parameters = [new("DataCollectionParameter", type=kind, stringValue=d.identity(facts, end))]
        collection.dataCollectionDatasets = [new("DataCollectionDataset", dataset=new("Dataset", id=dataset.id))]
        return collection

    def _collection(self, identity: str) -> Any | None:
        found = self._client.search(
            f"SELECT o FROM DataCollection o JOIN o.parameters AS p JOIN p.type AS t"
            f" WHERE t.name = {literal(IDENTITY.name)} AND p.stringValue = {literal(identity)}"
        )
        return found[0] if found else None
