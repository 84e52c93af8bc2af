"""What there is to say about a run, in its own terms: no word of ICAT."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path, PurePath
from typing import Any, Self

from ...stream.errors import StoreError
from ...stream.model import Run
from ...stream.report import RunReport

#: Of the identities that are made for runs; any fixed value would do.
_NAMESPACE = uuid.UUID("5b1c2a0e-8f0c-4f57-9d0f-0d6f6b2f6c11")


@dataclass(frozen=True)
class Described:
    """What the metadata of a run mean to a catalogue; the attributes are those of `RunFacts`."""

    technique: str = ""
    technique_pid: str = ""
    sample: str = ""
    parameters: tuple[tuple[str, str, str | float], ...] = ()


@dataclass(frozen=True)
class RunFacts:
    """A run as its catalogue entry describes it.

    Attributes
    ----------
    uuid : str
        The same for every entry that is ever made of the run, and for no other run: by it an entry is known as ours.
    run, name, investigation, visit : str
        Its id and names.
    store, location : str
        Path of the store; and the same below the data directory, as the catalogue gives it.
    instrument : str
        Whose key opened it; empty where the service uses no keys.
    source : str
        What the frames come from.
    metadata : mapping
        What the operator gave.
    technique, technique_pid : str
        What the run is an example of, and its persistent id; empty where not known.
    sample : str
        Name of the sample; empty where not given.
    parameters : tuple of (str, str, str or float)
        What the metadata become in the catalogue: name, units, value.
    shape : tuple of int
        Planned (t, c, z, y, x).
    rate_hz, exposure_ms, z_um, y_um, x_um : float or None
        As planned; None where not known.
    recipe : mapping
        JSON types.
    keep_raw : bool
        Whether the frames are stored as they came, too.
    software : str
        Version of octostream.
    host : str
        Where the head runs.
    opened_ns, last_frame_ns, ended_ns : int
        Wall clock; 0 where not yet.
    expected, stored, lost : int
        Frames.
    reason : str
        Why the run is not complete; empty otherwise.
    """

    uuid: str
    run: str
    name: str
    investigation: str
    visit: str
    store: str
    location: str
    instrument: str
    source: str
    metadata: Mapping[str, str | float | int | bool]
    technique: str
    technique_pid: str
    sample: str
    parameters: tuple[tuple[str, str, str | float], ...]
    shape: tuple[int, ...]
    rate_hz: float | None
    exposure_ms: float | None
    z_um: float | None
    y_um: float | None
    x_um: float | None
    recipe: Mapping[str, Any]
    keep_raw: bool
    software: str
    host: str
    opened_ns: int
    last_frame_ns: int = 0
    ended_ns: int = 0
    expected: int = 0
    stored: int = 0
    lost: int = 0
    reason: str = ""

    @classmethod
    def of(cls, run: Run, report: RunReport, data: Path, software: str, described: Described) -> Self:
        """Put together what the catalogue is told.

        Parameters
        ----------
        run : Run
        report : RunReport
            How far it is.
        data : Path
            Directory of the stores, resolved.
        software : str
            Version of octostream.
        described : Described
            What its metadata mean.

        Raises
        ------
        StoreError
            Its store does not lie in the directory.
        """
        plan = run.plan
        return cls(
            uuid=identity(run),
            run=run.id,
            name=run.name,
            investigation=run.investigation,
            visit=run.visit,
            store=run.store,
            location=_below(Path(run.store), data),
            instrument=run.instrument,
            source=plan.source,
            metadata=dict(plan.metadata),
            **asdict(described),
            shape=plan.shape,
            rate_hz=plan.rate_hz,
            exposure_ms=plan.exposure_ms,
            z_um=plan.pixel.z_um,
            y_um=plan.pixel.y_um,
            x_um=plan.pixel.x_um,
            recipe=dict(run.recipe),
            keep_raw=run.keep_raw,
            software=software,
            host=socket.gethostname(),
            opened_ns=run.opened_ns,
        ).at(report)

    def at(self, report: RunReport) -> Self:
        """Give the same run as far as a report says, and where that says: a store may be moved, and recovered there."""
        return replace(
            self,
            store=report.store,
            location=self._location(report.store),
            last_frame_ns=report.last_frame_ns,
            ended_ns=report.sealed_ns,
            expected=report.expected,
            stored=report.stored,
            lost=report.lost,
            reason=report.reason,
        )

    def _location(self, store: str) -> str:
        """Give where a store lies below its data directory: as deep as ever, for its folders are those of the run."""
        if store == self.store:
            return self.location
        return PurePath(*PurePath(store).parts[-len(PurePath(self.location).parts) :]).as_posix()

    def to_json(self) -> dict[str, Any]:
        """Give JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` gave; an earlier version may have said more."""
        known = {field.name: data[field.name] for field in fields(cls) if field.name in data}
        parameters = tuple((name, units, value) for name, units, value in data["parameters"])
        return cls(**{**known, "shape": tuple(data["shape"]), "parameters": parameters})


def identity(run: Run) -> str:
    """Give the UUID of a run: made of what its store says of it, so that it outlives the registry."""
    return str(uuid.uuid5(_NAMESPACE, f"{run.id}/{run.opened_ns}"))


def _below(store: Path, data: Path) -> str:
    """Give where a store lies below the data directory, whichever links lead to that one.

    A link within the directory, to a store that was moved to another disk, is no detour: its place is where it was.
    """
    for folder in store.parents:
        if folder.resolve() == data:
            return store.relative_to(folder).as_posix()
    raise StoreError(f"{store} does not lie in the data directory {data}", "octostream recover enters it where it lies")
