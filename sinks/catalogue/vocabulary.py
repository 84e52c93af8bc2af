"""What ICAT must know before a run can be registered: types, formats, parameters; as data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .settings import CatalogueSettings

NUMERIC, STRING = "NUMERIC", "STRING"
#: ICAT wants units of every type of parameter; these are of what has none.
NO_UNITS = "N/A"
APPLICATION = "octostream"
FORMAT, FORMAT_VERSION = "OME-Zarr", "0.5"


@dataclass(frozen=True)
class Needed:
    """An object that must be there.

    Attributes
    ----------
    entity : str
        Of ICAT's schema.
    key : mapping
        Attributes that tell it from others of its sort, all text.
    others : mapping
        More attributes, for whoever creates it.
    of_facility : bool
        Whether the facility belongs to its key.
    """

    entity: str
    key: Mapping[str, str]
    others: Mapping[str, Any] = field(default_factory=dict)
    of_facility: bool = True

    def __str__(self) -> str:
        """Name it as people do."""
        return f"{self.entity} " + ", ".join(repr(value) for value in self.key.values())


@dataclass(frozen=True)
class ParameterKind:
    """A type of parameter that octostream writes to datasets.

    Attributes
    ----------
    name, units : str
    type : str
        ``"NUMERIC"`` or ``"STRING"``.
    help : str
        One line.
    collections : bool
        Whether collections of datasets have it, too.
    """

    name: str
    units: str
    type: Literal["NUMERIC", "STRING"]
    help: str
    collections: bool = False

    @property
    def needed(self) -> Needed:
        """As an object of ICAT."""
        others = {"valueType": self.type, "description": self.help, "applicableToDataset": True}
        if self.collections:
            others["applicableToDataCollection"] = True
        return Needed("ParameterType", {"name": self.name, "units": self.units}, others)


IDENTITY = ParameterKind("registration_uuid", NO_UNITS, "STRING", "Identity of the entry, made by octostream", True)
REASON = ParameterKind("run_reason", NO_UNITS, "STRING", "Why the run is not complete")
#: What is said of every run, whatever its technique.
STANDARD: Mapping[str, ParameterKind] = {
    kind.name: kind
    for kind in (
        IDENTITY,
        ParameterKind("run_id", NO_UNITS, "STRING", "Id of the run in octostream"),
        ParameterKind("run_status", NO_UNITS, "STRING", "recording, complete or incomplete"),
        REASON,
        ParameterKind("pixel_size_y", "um", "NUMERIC", "Distance of neighbouring pixels along y, of the raw frames"),
        ParameterKind("pixel_size_x", "um", "NUMERIC", "Distance of neighbouring pixels along x, of the raw frames"),
        ParameterKind("z_step", "um", "NUMERIC", "Distance of neighbouring planes"),
        ParameterKind("exposure_time", "ms", "NUMERIC", "Exposure of a frame"),
        ParameterKind("frame_rate", "Hz", "NUMERIC", "Frames a second, as planned"),
        ParameterKind("size_t", "count", "NUMERIC", "Time points"),
        ParameterKind("size_c", "count", "NUMERIC", "Channels"),
        ParameterKind("size_z", "count", "NUMERIC", "Planes of a stack"),
        ParameterKind("size_y", "count", "NUMERIC", "Rows of a raw frame"),
        ParameterKind("size_x", "count", "NUMERIC", "Columns of a raw frame"),
        ParameterKind("frames_expected", "count", "NUMERIC", "Frames that were planned"),
        ParameterKind("frames_stored", "count", "NUMERIC", "Frames that are stored"),
        ParameterKind("frames_lost", "count", "NUMERIC", "Frames that were lost; the ledger names each"),
        ParameterKind("ledger_sha256", NO_UNITS, "STRING", "SHA-256 of the ledger of the run"),
        ParameterKind("recipe", NO_UNITS, "STRING", "Name of the recipe"),
        ParameterKind("recipe_sha256", NO_UNITS, "STRING", "SHA-256 of the recipe as canonical JSON"),
        ParameterKind("software_version", NO_UNITS, "STRING", "Version of octostream"),
    )
}


def needed(
    settings: CatalogueSettings,
    software: str,
    parameters: Iterable[ParameterKind] = (),
    techniques: Mapping[str, str] | None = None,
) -> tuple[Needed, ...]:
    """Give all that must be there before runs are registered.

    Parameters
    ----------
    settings : CatalogueSettings
    software : str
        Version of octostream.
    parameters : iterable of ParameterKind
        Of the techniques' templates.
    techniques : mapping, optional
        Names by persistent id.
    """
    kinds = {(kind.name, kind.units): kind for kind in (*STANDARD.values(), *parameters)}
    return (
        dataset_type(settings.raw_type),
        dataset_type(settings.reduced_type),
        datafile_format(),
        application(software),
        *(kind.needed for kind in kinds.values()),
        *(technique(name, pid) for pid, name in (techniques or {}).items()),
        *((instrument(settings.instrument),) if settings.instrument else ()),
    )


def dataset_type(name: str) -> Needed:
    """Give a DatasetType."""
    return Needed("DatasetType", {"name": name})


def datafile_format() -> Needed:
    """Give the DatafileFormat of the stores."""
    others = {"type": "image", "description": "OME-NGFF 0.5 in Zarr v3, a folder"}
    return Needed("DatafileFormat", {"name": FORMAT, "version": FORMAT_VERSION}, others)


def application(software: str) -> Needed:
    """Give the Application of the jobs."""
    return Needed("Application", {"name": APPLICATION, "version": software})


def technique(name: str, pid: str) -> Needed:
    """Give a Technique; they belong to no facility."""
    return Needed("Technique", {"name": name}, {"pid": pid}, of_facility=False)


def instrument(name: str) -> Needed:
    """Give an Instrument."""
    return Needed("Instrument", {"name": name})
