"""Where the data of a run came from: a Job in ICAT, with what went in and what came out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import description as d
from .facts import RunFacts
from .lookup import Lookup
from .text import sent
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
        if self._collection(datasets["reduced"], d.identity(facts, "out")) is not None:
            return
        job = self._lookup.new(
            "Job",
            application=self._lookup.create(application(facts.software)),
            arguments=sent(d.job_arguments(facts)),
        )
        if "raw" in datasets:
            job.inputDataCollection = self._input(facts, datasets["raw"])
        output = self._new_collection(facts, "out", datasets["reduced"])
        output.jobsAsOutput = [job]
        output.create()

    def _input(self, facts: RunFacts, raw: Any) -> Any:
        found = self._collection(raw, d.identity(facts, "in"))
        if found is None:
            found = self._new_collection(facts, "in", raw)
            found.create()
        return self._lookup.new("DataCollection", id=found.id)

    def _new_collection(self, facts: RunFacts, end: str, dataset: Any) -> Any:
        new = self._lookup.new
        kind = self._lookup.get(IDENTITY.needed)
        collection = new("DataCollection")
        collection.parameters = [new("DataCollectionParameter", type=kind, stringValue=d.identity(facts, end))]
        collection.dataCollectionDatasets = [new("DataCollectionDataset", dataset=new("Dataset", id=dataset.id))]
        return collection

    def _collection(self, dataset: Any, identity: str) -> Any | None:
        """Give a collection of a dataset by its identity; None where there is none.

        It is looked for from the dataset on: where the account may see nothing for a moment, the dataset is missing,
        too, and nothing is made a second time.
        """
        found = self._client.assertedSearch(
            f"SELECT o FROM Dataset o WHERE o.id = {dataset.id}"
            " INCLUDE o.dataCollectionDatasets AS l, l.dataCollection AS c, c.parameters AS p, p.type"
        )
        for link in found[0].dataCollectionDatasets:
            if any(p.type.name == IDENTITY.name and p.stringValue == identity for p in link.dataCollection.parameters):
                return link.dataCollection
        return None
