"""Runs as icatdata XML, which python-icat's own ``icatingest`` reads: for an ICAT that octostream does not reach."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from . import description as d
from .datafiles import File, changed_at, files_of, made_at
from .facts import RunFacts
from .inventory import Inventory
from .settings import CatalogueSettings
from .text import MAX_LOCATION, checked, literal, sent
from .vocabulary import (
    IDENTITY,
    Needed,
    ParameterKind,
    application,
    datafile_format,
    dataset_type,
    instrument,
    technique,
)

_FACILITY = "facility"


@dataclass(frozen=True)
class Exported:
    """A run to be written.

    Attributes
    ----------
    facts : RunFacts
    status : str
        ``"recording"``, ``"complete"`` or ``"incomplete"``.
    inventory : Inventory
        Of its store.
    """

    facts: RunFacts
    status: str
    inventory: Inventory


def icatdata(
    settings: CatalogueSettings, runs: Sequence[Exported], kinds: Iterable[ParameterKind] | None = None
) -> Iterator[bytes]:
    """Give an icatdata file, piece by piece.

    Parameters
    ----------
    settings : CatalogueSettings
    runs : sequence of Exported
    kinds : iterable of ParameterKind, optional
        If given, what the runs refer to is in the file, too, parameters as described here; ingesting that twice takes
        ``--duplicate IGNORE``.

    Raises
    ------
    ParkedError
        A text of a run is none that ICAT can store.
    """
    yield b'<?xml version="1.0" encoding="utf-8"?>\n<icatdata>\n'
    if kinds is not None:
        yield _bytes(_types(settings, _referred(settings, runs), {(k.name, k.units, k.type): k.help for k in kinds}))
    for run in runs:
        if kinds is not None and run.facts.sample:
            yield _bytes(_Chunk(settings, run).sample_data())
        yield _bytes(_Chunk(settings, run).data())
    yield b"</icatdata>\n"


def _bytes(data: ET.Element) -> bytes:
    ET.indent(data)
    return ET.tostring(data, encoding="utf-8") + b"\n"


def _referred(settings: CatalogueSettings, runs: Sequence[Exported]) -> Iterable[Needed]:
    """Give all that runs refer to, each once: of the versions, instruments and techniques of their own days."""
    referred: dict[object, Needed] = {}
    for run in runs:
        chunk = _Chunk(settings, run)
        chunk.data()
        referred.update(chunk.referred)
    return referred.values()


def _types(
    settings: CatalogueSettings, things: Iterable[Needed], described: Mapping[tuple[str, ...], str]
) -> ET.Element:
    data = ET.Element("data")
    ET.SubElement(data, "facilityRef", id=_FACILITY, name=_pasted(settings.facility))
    for number, thing in enumerate(things):
        element = ET.SubElement(data, _tag(thing.entity), id=f"needed-{number}")
        told = {**thing.key, **thing.others}
        if told.get("description") == "":  # the facts of a run name its parameters, no more
            told["description"] = described.get((*thing.key.values(), told.get("valueType", "")))
        for name, value in told.items():
            _add(element, name, value)
        if thing.of_facility:
            ET.SubElement(element, "facility", ref=_FACILITY)
    return data


class _Chunk:
    """The chunk of one run: first what it refers to, then what it is."""

    def __init__(self, settings: CatalogueSettings, run: Exported) -> None:
        self._settings = settings
        self._run = run
        self._facts = run.facts
        self._references: dict[str, ET.Element] = {}
        self._objects: list[ET.Element] = []
        self.referred: dict[object, Needed] = {}

    def data(self) -> ET.Element:
        """Give the chunk."""
        facts = self._facts
        over = self._run.status != "recording"
        for part in d.parts(facts):
            self._objects.append(self._dataset(part))
        if over:
            self._provenance()
        data = ET.Element("data")
        data.extend([*self._references.values(), *self._objects])
        return data

    def sample_data(self) -> ET.Element:
        """Give a chunk with the sample of the run: it must be there before the run refers to it."""
        sample = ET.Element("sample", id="sample")
        _add(sample, "name", checked(self._facts.sample, 255, "the sample"))
        ET.SubElement(sample, "investigation", ref=self._investigation())
        data = ET.Element("data")
        data.extend([*self._references.values(), sample])
        return data

    def _key(self, what: str) -> str:
        return f"{self._facts.run}-{what}"

    def _reference(self, entity: str, **by: str) -> str:
        """Give the key of something that is there already; the reader looks for it by these attributes."""
        key = "-".join((_tag(entity), *by.values()))
        if key not in self._references:
            attributes = {name.replace("__", "."): _pasted(value) for name, value in by.items()}
            self._references[key] = ET.Element(
                _tag(entity) + "Ref", {"id": f"ref-{len(self._references)}", **attributes}
            )
        return self._references[key].attrib["id"]

    def _needed(self, thing: Needed) -> str:
        self.referred[thing.entity, *thing.key.values()] = thing
        of_facility = {"facility__name": self._settings.facility} if thing.of_facility else {}
        return self._reference(thing.entity, **thing.key, **of_facility)

    def _investigation(self) -> str:
        facts, facility = self._facts, self._settings.facility
        return self._reference("Investigation", name=facts.investigation, visitId=facts.visit, facility__name=facility)

    def _dataset(self, part: d.Part) -> ET.Element:
        facts, settings, size = self._facts, self._settings, self._run.inventory.sizes.get(part)
        over = self._run.status != "recording"
        element = ET.Element("dataset", id=self._key(part))
        for name, value in {
            "complete": self._run.status == "complete",
            "description": d.summary(facts),
            "endDate": d.when(facts.ended_ns),
            "fileCount": size and size.files,
            "fileSize": size and size.nbytes,
            "location": checked(d.location(facts, part), MAX_LOCATION, "the path of the store"),
            "name": checked(d.dataset_name(facts, part), 255, "the name of the run"),
            "startDate": d.when(facts.opened_ns),
        }.items():
            _add(element, name, value)
        ET.SubElement(element, "investigation", ref=self._investigation())
        if facts.sample:
            ET.SubElement(element, "sample", ref=self._sample())
        ET.SubElement(element, "type", ref=self._needed(dataset_type(settings.type_of(part))))
        files = files_of(facts, part, self._run.inventory, raw_shards=settings.raw_shards)
        for file in files if over else ():
            self._datafile(ET.SubElement(element, "datafiles"), file)
        if named := facts.instrument or settings.instrument:
            link = ET.SubElement(element, "datasetInstruments")
            ET.SubElement(link, "instrument", ref=self._needed(instrument(named)))
        if facts.technique_pid:
            link = ET.SubElement(element, "datasetTechniques")
            ET.SubElement(link, "technique", ref=self._needed(technique(facts.technique, facts.technique_pid)))
        for parameter in d.parameters(facts, part, self._run.status, self._run.inventory.ledger_digest):
            self._parameter(element, parameter.kind.needed, parameter.value)
        return element

    def _sample(self) -> str:
        facts, facility = self._facts, self._settings.facility
        return self._reference(
            "Sample",
            name=checked(facts.sample, 255, "the sample"),
            investigation__name=facts.investigation,
            investigation__visitId=facts.visit,
            investigation__facility__name=facility,
        )

    def _datafile(self, element: ET.Element, file: File) -> None:
        for key, value in {
            "datafileCreateTime": made_at(self._facts),
            "datafileModTime": changed_at(self._facts),
            "fileSize": file.nbytes,
            "location": checked(file.location, MAX_LOCATION, "the path of the store"),
            "name": checked(file.name, 255, "the name of the file"),
        }.items():
            _add(element, key, value)
        ET.SubElement(element, "datafileFormat", ref=self._needed(datafile_format()))

    def _parameter(self, element: ET.Element, kind: Needed, value: str | float) -> None:
        parameter = ET.SubElement(element, "parameters")
        _add(parameter, "stringValue" if isinstance(value, str) else "numericValue", value)
        ET.SubElement(parameter, "type", ref=self._needed(kind))

    def _provenance(self) -> None:
        facts = self._facts
        job = ET.Element("job")
        _add(job, "arguments", d.job_arguments(facts))
        ET.SubElement(job, "application", ref=self._needed(application(facts.software)))
        if "raw" in d.parts(facts):
            ET.SubElement(job, "inputDataCollection", ref=self._collection("in", "raw"))
        ET.SubElement(job, "outputDataCollection", ref=self._collection("out", "reduced"))
        self._objects.append(job)

    def _collection(self, end: str, part: d.Part) -> str:
        collection = ET.Element("dataCollection", id=self._key(end))
        link = ET.SubElement(collection, "dataCollectionDatasets")
        ET.SubElement(link, "dataset", ref=self._key(part))
        self._parameter(collection, IDENTITY.needed, d.identity(self._facts, end))
        self._objects.append(collection)
        return self._key(end)


def _tag(entity: str) -> str:
    return entity[0].lower() + entity[1:]


def _pasted(value: str) -> str:
    """Give a value of a reference: the reader pastes it between quotes, as it is."""
    return literal(value)[1:-1]


def _add(element: ET.Element, name: str, value: Any) -> None:
    """Add an attribute of an object; what is not known is left out."""
    match value:
        case None:
            return
        case bool():
            text = str(value).lower()
        case datetime():
            text = value.isoformat()
        case str():
            text = sent(checked(value))
        case _:
            text = repr(value)
    ET.SubElement(element, name).text = text
