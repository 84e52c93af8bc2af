"""The datasets of a run in ICAT: made once, known as ours by their identity, brought up to date as often as needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import icat

from . import description as d
from .datafiles import File, changed_at, files_of, made_at
from .facts import RunFacts
from .failures import ParkedError
from .inventory import Inventory, Size
from .lookup import Lookup
from .settings import CatalogueSettings
from .text import MAX_LOCATION, checked, literal, sent
from .vocabulary import IDENTITY, REASON, datafile_format, dataset_type, instrument, technique

#: Datafiles are created so many at a time: one call stays well below what a server takes.
BATCH = 100
#: Names are asked for so many at a time: a server gives some thousand, no more.
PAGE = 1000
_INCLUDE = "INCLUDE o.investigation, o.type, o.sample, o.parameters AS p, p.type"


class Datasets:
    """The datasets that runs have in one ICAT.

    Parameters
    ----------
    lookup : Lookup
    settings : CatalogueSettings
    """

    def __init__(self, lookup: Lookup, settings: CatalogueSettings) -> None:
        self._lookup = lookup
        self._client = lookup.client
        self._settings = settings

    def ensure(self, facts: RunFacts, part: d.Part, status: str, *, whole: bool = True) -> Any:
        """Give the dataset of a run; made where there is none.

        Dataset, parameters, technique and instrument are created by one call, so there is all of it or nothing,
        whatever becomes of the answer.

        Parameters
        ----------
        facts : RunFacts
        part : str
        status : str
            See `description.parameters`.
        whole : bool
            Whether it is wanted with its parameters as they are in ICAT, and not its id alone.

        Raises
        ------
        ParkedError
            The investigation is not there, or has a dataset of this name that is not ours.
        """
        inv = self._lookup.investigation(facts.investigation, facts.visit)
        found = self._named(inv, d.dataset_name(facts, part))
        if found is None:
            made = self._new(inv, facts, part, status)
            # Where it exists after all, by a call whose answer was lost or by somebody else, turns out below.
            with suppress(icat.ICATObjectExistsError):
                made.create()
                if not whole:
                    return made
            if (found := self._named(inv, d.dataset_name(facts, part))) is None:
                raise icat.SearchResultError(f"the dataset of run {facts.run} cannot be seen, though it was made")
        if _identity(found) != d.identity(facts, part):
            what = f"the investigation has a dataset {found.name!r} already, and it is not of this run"
            raise ParkedError(what, "rename or remove it in ICAT, then octostream catalogue retry")
        return found

    def describe(self, dataset: Any, parameters: Sequence[d.Parameter]) -> None:
        """Let the parameters of a dataset have these values; others that it has stay."""
        reference = self._lookup.new("Dataset", id=dataset.id)  # the dataset itself would lead in circles
        there = {(p.type.name, p.type.units): p for p in dataset.parameters}
        missing = []
        for parameter in parameters:
            kind = parameter.kind
            known = there.get((kind.name, kind.units))
            if known is None:
                missing.append(self._parameter(parameter, dataset=reference))
            elif _value(known) != parameter.value:
                setattr(known, _attribute(parameter.value), _sent(parameter))
                known.dataset = reference
                known.update()
        if missing:
            self._client.createMany(missing)
        if REASON not in {p.kind for p in parameters} and (stale := there.get((REASON.name, REASON.units))):
            self._client.delete(stale)  # a run that was taken up again has none any more

    def update(self, dataset: Any, facts: RunFacts, size: Size | None, *, complete: bool) -> None:
        """Bring the dataset itself up to date: all at once, so that whoever finds it complete finds it whole.

        Where the size is not known any more, ICAT keeps that which it has.
        """
        wanted: dict[str, Any] = {
            "complete": complete,
            "description": d.summary(facts),
            "endDate": d.when(facts.ended_ns),
        }
        if size is not None:
            wanted |= {"fileSize": size.nbytes, "fileCount": size.files}
        if all(getattr(dataset, name) == value for name, value in wanted.items()):
            return
        if facts.sample and dataset.sample is None:  # it cannot be seen, and would be struck out by what is not sent
            dataset.sample = self._lookup.sample(dataset.investigation, facts.sample)
        for name, value in wanted.items():
            setattr(dataset, name, sent(value) if isinstance(value, str) else value)
        dataset.truncateRelations(keepInstRel=True)
        dataset.update()

    def files(self, dataset: Any, facts: RunFacts, part: d.Part, inventory: Inventory) -> None:
        """Let a dataset have its Datafiles: the store, or each shard of raw frames where the settings say so."""
        wanted = files_of(facts, part, inventory, raw_shards=self._settings.raw_shards)
        if part == "raw" and self._settings.raw_shards:
            self._shards(dataset, facts, wanted)
        else:
            self._whole(dataset, facts, *wanted)

    def _whole(self, dataset: Any, facts: RunFacts, file: File) -> None:
        query = (
            f"SELECT o FROM Datafile o JOIN o.dataset AS d WHERE d.id = {dataset.id} AND o.name = {literal(file.name)}"
        )
        found = self._client.search(query + " INCLUDE o.dataset, o.datafileFormat")
        if not found:
            with suppress(icat.ICATObjectExistsError):
                self._datafile(dataset, facts, file).create()
        elif file.nbytes is not None and found[0].fileSize != file.nbytes:
            found[0].fileSize, found[0].datafileModTime = file.nbytes, changed_at(facts)
            found[0].update()

    def _shards(self, dataset: Any, facts: RunFacts, shards: Sequence[File]) -> None:
        """Create the Datafiles that are missing; each batch is there as a whole or not at all."""
        names = set(self._names(dataset))
        missing = [shard for shard in shards if shard.name not in names]
        for first in range(0, len(missing), BATCH):
            self._client.createMany([self._datafile(dataset, facts, shard) for shard in missing[first : first + BATCH]])

    def _names(self, dataset: Any) -> Iterator[str]:
        """Give the names of the Datafiles that a dataset has."""
        query = f"SELECT o.name FROM Datafile o JOIN o.dataset AS d WHERE d.id = {dataset.id} ORDER BY o.id"
        skip = 0
        while page := self._client.search(f"{query} LIMIT {skip}, {PAGE}"):
            yield from page
            skip += len(page)
            if len(page) < PAGE:
                break

    def remove(self, facts: RunFacts) -> None:
        """Take the datasets of a run that never began out of ICAT; what is not ours, or complete, stays."""
        inv = self._lookup.investigation(facts.investigation, facts.visit)
        for part in d.parts(facts):
            if (found := self._named(inv, d.dataset_name(facts, part))) is None:
                self._assert_free(inv, facts, part)
            elif _identity(found) == d.identity(facts, part) and not found.complete:
                self._client.delete(found)

    def _assert_free(self, investigation: Any, facts: RunFacts, part: d.Part) -> None:
        """See that an investigation has no dataset of a name.

        That none is found proves nothing: the account may see nothing for a moment. So the server is asked whether one
        could be made, which it tries, and takes back.
        """
        name, kind = d.dataset_name(facts, part), self._lookup.get(dataset_type(self._settings.type_of(part)))
        tried = self._lookup.new("Dataset", name=name, complete=False, investigation=investigation, type=kind)
        if not self._client.isAccessAllowed(tried, "CREATE"):
            raise icat.SearchResultError(f"whether run {facts.run} has a dataset cannot be seen")

    def _named(self, investigation: Any, name: str) -> Any | None:
        found = self._client.search(self._query(investigation, name))
        return found[0] if found else None

    def _query(self, investigation: Any, name: str) -> str:
        return (
            f"SELECT o FROM Dataset o JOIN o.investigation AS i WHERE i.id = {investigation.id}"
            f" AND o.name = {literal(name)} {_INCLUDE}"
        )

    def _new(self, investigation: Any, facts: RunFacts, part: d.Part, status: str) -> Any:
        settings, lookup, new = self._settings, self._lookup, self._lookup.new
        dataset = new(
            "Dataset",
            name=sent(checked(d.dataset_name(facts, part), 255, "the name of the run")),
            investigation=investigation,
            type=lookup.get(dataset_type(settings.type_of(part))),
            complete=False,
            location=sent(checked(d.location(facts, part), self._location_limit(), "the path of the store")),
            description=sent(d.summary(facts)),
            startDate=d.when(facts.opened_ns),
        )
        if facts.sample and (sample := lookup.sample(investigation, checked(facts.sample, 255, "the sample"))):
            dataset.sample = sample
        dataset.parameters = [self._parameter(p) for p in d.parameters(facts, part, status)]
        if name := facts.instrument or settings.instrument:
            dataset.datasetInstruments = [new("DatasetInstrument", instrument=lookup.get(instrument(name)))]
        if facts.technique_pid:
            kind = lookup.get(technique(facts.technique, facts.technique_pid))
            dataset.datasetTechniques = [new("DatasetTechnique", technique=kind)]
        return dataset

    def _location_limit(self) -> int:
        """Give how long a location may be: schemas before 6.2 have 255 characters."""
        return MAX_LOCATION if self._client.apiversion >= "6.2" else 255

    def _parameter(self, parameter: d.Parameter, **relations: Any) -> Any:
        kind = self._lookup.get(parameter.kind.needed)
        value = _sent(parameter)
        return self._lookup.new("DatasetParameter", type=kind, **{_attribute(value): value}, **relations)

    def _datafile(self, dataset: Any, facts: RunFacts, file: File) -> Any:
        return self._lookup.new(
            "Datafile",
            dataset=self._lookup.new("Dataset", id=dataset.id),
            name=sent(checked(file.name, 255, "the name of the file")),
            location=sent(checked(file.location, self._location_limit(), "the path of the store")),
            fileSize=file.nbytes,
            datafileFormat=self._lookup.get(datafile_format()),
            datafileCreateTime=made_at(facts),
            datafileModTime=changed_at(facts),
        )


def _sent(parameter: d.Parameter) -> str | float:
    value = parameter.value
    return sent(checked(value, 4000, f"the parameter {parameter.kind.name}")) if isinstance(value, str) else value


def _attribute(value: str | float) -> str:
    return "stringValue" if isinstance(value, str) else "numericValue"


def _value(parameter: Any) -> Any:
    return parameter.stringValue if parameter.numericValue is None else parameter.numericValue


def _identity(dataset: Any) -> str | None:
    return next((p.stringValue for p in dataset.parameters if p.type.name == IDENTITY.name), None)
