"""What the API answers: explicit models, so that nothing internal leaks by accident."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zlib import crc32

from pydantic import BaseModel, Field

from ...sinks.catalogue.standing import Standing
from ...sinks.names import data_folders
from ...stream.ledger import Ledger
from ...stream.report import RunReport, ServiceReport, StageReport, Verdict
from ..catalogue_watch import CatalogueState


class Problem(BaseModel):
    """Every error: one line that says what is wrong and what to do."""

    detail: str


class Alive(BaseModel):
    """Answer of a process that runs."""

    alive: bool = True


class Readiness(BaseModel):
    """Whether new runs can start, and why not."""

    ready: bool
    reasons: list[str]


class CatalogueView(BaseModel):
    """What the catalogue is still to be told."""

    queued: int = Field(description="entries that are tried")
    parked: int = Field(description="entries that wait for a person")
    oldest_pending_s: float | None = Field(description="how long the oldest of them has been waiting; null: none waits")
    registered: int = Field(description="runs that the catalogue has")
    mark: str = Field(description="another one whenever a run may stand otherwise than before")

    @classmethod
    def of(cls, state: CatalogueState, now_ns: int) -> CatalogueView:
        """Make the view of what the web process saw last."""
        pending = state.pending
        oldest_s = None if pending.oldest_ns is None else max(0.0, (now_ns - pending.oldest_ns) / 1e9)
        return cls(
            queued=pending.queued,
            parked=pending.parked,
            oldest_pending_s=oldest_s,
            registered=state.registered,
            mark=f"{crc32(repr(pending).encode()):08x}",  # the same after a restart of this process
        )


class Status(BaseModel):
    """The service as a viewer must see it now."""

    verdict: Verdict = Field(description="the head's verdict, or NO DATA once the head is silent")
    reason: str
    version: str
    ingest: str = Field(description="address that agents connect to; empty if not known")
    live: str | None = Field(description="id of the newest run that is recording")
    age_ms: float | None = Field(description="age of the report; null if the head was never heard")
    time_to_full_s: float | None = Field(description="seconds until the disk reaches its reserve; null: not filling")
    catalogue: CatalogueView | None = Field(description="what it is still to be told; null where none is set")
    report: ServiceReport | None = Field(description="the last report, however old")


class Stages(BaseModel):
    """The stages of the path of a frame, with the same numbers for every stage."""

    age_ms: float | None
    stages: list[StageReport]


@dataclass(frozen=True)
class RunView(RunReport):
    """A run and where to read it.

    Attributes
    ----------
    data_url : str
        Path of the store under this server, ``/data/…``; empty if the store lies elsewhere.
    compression : float or None
        Raw bytes per stored byte.
    catalogue : Standing or None
        How it stands in the catalogue; None where none is set.
    """

    data_url: str = ""
    compression: float | None = None
    catalogue: Standing | None = None

    @classmethod
    def of(cls, run: RunReport, data: Path, catalogue: Standing | None = None) -> RunView:
        """Add what a reader needs to a run."""
        plain = {f.name: getattr(run, f.name) for f in fields(RunReport)}
        ratio = run.raw_bytes / run.stored_bytes if run.stored_bytes else None
        return cls(**plain, data_url=_data_url(run.store, data), compression=ratio, catalogue=catalogue)


def _data_url(store: str, data: Path) -> str:
    folder = Path(store)
    # The head may know the data directory by a link; both names lead to the same place.
    place = next((place for place in data_folders(folder) if place.resolve() == data), None)
    return "/data/" + quote(folder.relative_to(place).as_posix()) if place else ""


class RunPage(BaseModel):
    """Some runs, newest first."""

    runs: list[RunView]
    next: str | None = Field(description="value of `before` for the next page; null on the last page")


class StepView(BaseModel):
    """A step of a recipe."""

    step: str
    parameters: dict[str, Any] = Field(description="value of each; of a map, the file that it was read from")


class RecipeView(BaseModel):
    """What is done to the frames of a run."""

    run: str
    name: str
    steps: list[StepView] = Field(description="in the order in which they act")

    @classmethod
    def of(cls, run: str, recipe: Mapping[str, Any]) -> RecipeView:
        """Make the view of a recipe in its plain form, steps being its objects."""
        steps = [StepView(step=name, parameters=told) for name, told in recipe.items() if isinstance(told, dict)]
        return cls(run=run, name=str(recipe.get("name", "")), steps=steps)


class MetadataView(BaseModel):
    """What is known of what a run recorded."""

    run: str
    technique: str = Field(description="whose template the metadata follow; free takes any")
    metadata: dict[str, str | float | int | bool] = Field(description="in the order of the template")


class LossView(BaseModel):
    """Frames that will never be stored."""

    first: int
    last: int
    where: str
    why: str


class LedgerView(BaseModel):
    """What became of every frame of a run."""

    run: str
    status: str
    frames_expected: int
    frames_stored: int
    frames_lost: int
    frames_projection_only: int = Field(description="stored ones of whose pixels only projections were kept")
    stored: list[tuple[int, int]] = Field(description="inclusive ranges of frame numbers that are durable")
    projection_only: list[tuple[int, int]] = Field(description="those of them that have only projections")
    lost: list[LossView]

    @classmethod
    def of(cls, run: str, ledger: Ledger) -> LedgerView:
        """Make the view of a ledger."""
        return cls.model_validate({"run": run, "status": ledger.status, **ledger.to_json()})
