"""What ICAT has of a run, by its identity, wherever somebody put it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import description as d
from .comparing import Found
from .facts import RunFacts
from .lookup import Lookup
from .text import literal
from .vocabulary import IDENTITY


def audit(lookup: Lookup, facts: RunFacts) -> Sequence[Found]:
    """Ask for every dataset of the facility that carries the identity of a run.

    Raises
    ------
    Exception
        As `Registration.deliver`.
    """
    identities = ", ".join(literal(d.identity(facts, part)) for part in d.parts(facts))
    found = lookup.client.search(
        "SELECT o FROM Dataset o JOIN o.investigation AS i JOIN i.facility AS f JOIN o.parameters AS p JOIN p.type AS t"
        f" WHERE f.id = {lookup.facility().id} AND t.name = '{IDENTITY.name}' AND p.stringValue IN ({identities})"
        " ORDER BY o.id INCLUDE o.investigation, o.parameters AS op, op.type, o.dataCollectionDatasets AS l,"
        " l.dataCollection AS c, c.parameters AS cp, cp.type, c.jobsAsOutput"
    )
    return [_found(lookup, facts, dataset) for dataset in found]


def _found(lookup: Lookup, facts: RunFacts, dataset: Any) -> Found:
    values = {
        (str(p.type.name), str(p.type.units)): str(p.stringValue) if p.numericValue is None else p.numericValue
        for p in dataset.parameters
    }
    (files,) = lookup.client.search(f"SELECT COUNT(f) FROM Datafile f JOIN f.dataset AS d WHERE d.id = {dataset.id}")
    return Found(
        id=dataset.id,
        identity=str(values.get((IDENTITY.name, IDENTITY.units), "")),
        name=str(dataset.name),
        investigation=str(dataset.investigation.name),
        visit=str(dataset.investigation.visitId or ""),
        complete=bool(dataset.complete),
        parameters=values,
        files=int(files),
        job=any(_has_job(link.dataCollection, d.identity(facts, "out")) for link in dataset.dataCollectionDatasets),
    )


def _has_job(collection: Any, identity: str) -> bool:
    values = (p.stringValue for p in collection.parameters if p.type.name == IDENTITY.name)
    return identity in values and bool(collection.jobsAsOutput)
