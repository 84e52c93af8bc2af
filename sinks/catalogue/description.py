"""How a run is described in ICAT: decisions without I/O."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Literal

from .facts import RunFacts
from .text import shortened
from .vocabulary import STANDARD, ParameterKind

Part = Literal["raw", "reduced"]
#: Between the name of a run and what is added to it for its raw frames; no name of a run has a space.
_RAW_SUFFIX = " raw"


@dataclass(frozen=True)
class Parameter:
    """One value of a dataset.

    Attributes
    ----------
    kind : ParameterKind
    value : str or float
    """

    kind: ParameterKind
    value: str | float


def parts(facts: RunFacts) -> tuple[Part, ...]:
    """Give which datasets a run has."""
    return ("raw", "reduced") if facts.keep_raw else ("reduced",)


def dataset_name(facts: RunFacts, part: Part) -> str:
    """Give the name of a dataset: that of the run; an investigation has each name once."""
    return facts.name + (_RAW_SUFFIX if part == "raw" else "")


def location(facts: RunFacts, part: Part) -> str:
    """Give where the data of a dataset lie, below the data directory."""
    return facts.location + ("/raw/0" if part == "raw" else "")


def identity(facts: RunFacts, part: str) -> str:
    """Give by what an entry is known as that of this run."""
    return f"{facts.uuid}:{part}"


def summary(facts: RunFacts) -> str:
    """Give one line about a run for people."""
    t, c, z, y, x = facts.shape
    text = f"{facts.source or 'run'}: {t} time points, {c} channels, {z} planes of {y}x{x} pixels"
    return shortened(text + (f"; incomplete: {facts.reason}" if facts.reason else ""))


def when(ns: int) -> datetime | None:
    """Give a time of the wall clock as ICAT wants it, to the millisecond; None for 0."""
    return datetime.fromtimestamp(ns // 10**6 / 1e3, UTC) if ns else None


def recipe_digest(facts: RunFacts) -> str:
    """Give the SHA-256 of a recipe as canonical JSON."""
    return sha256(json.dumps(facts.recipe, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def job_arguments(facts: RunFacts) -> str:
    """Give what a job was told, in one line."""
    return shortened(f"run {facts.run}, recipe {facts.recipe.get('name', '')} {recipe_digest(facts)}")


def parameters(facts: RunFacts, part: Part, status: str, ledger_digest: str = "") -> tuple[Parameter, ...]:
    """Give the parameters of a dataset; what is not known is left out.

    Parameters
    ----------
    facts : RunFacts
    part : str
    status : str
        ``"recording"``, ``"complete"`` or ``"incomplete"``.
    ledger_digest : str
        SHA-256 of the ledger, where there is one.
    """
    t, c, z, y, x = facts.shape
    values: dict[str, str | float | None] = {
        "registration_uuid": identity(facts, part),
        "run_id": facts.run,
        "run_status": status,
        "run_reason": shortened(facts.reason, 4000),
        "pixel_size_y": facts.y_um,
        "pixel_size_x": facts.x_um,
        "z_step": facts.z_um,
        "exposure_time": facts.exposure_ms,
        "frame_rate": facts.rate_hz,
        "size_t": t,
        "size_c": c,
        "size_z": z,
        "size_y": y,
        "size_x": x,
        "frames_expected": facts.expected,
        "frames_stored": facts.stored,
        "frames_lost": facts.lost,
        "ledger_sha256": ledger_digest,
        "recipe": str(facts.recipe.get("name", "")),
        "recipe_sha256": recipe_digest(facts),
        "software_version": facts.software,
    }
    standard = [Parameter(STANDARD[name], value) for name, value in values.items() if value not in (None, "")]
    return (*standard, *_described(facts))


def _described(facts: RunFacts) -> Iterator[Parameter]:
    """Give what the operator described; a name of octostream's own keeps octostream's meaning."""
    for name, units, value in facts.parameters:
        if name not in STANDARD and value != "":
            kind: Literal["STRING", "NUMERIC"] = "STRING" if isinstance(value, str) else "NUMERIC"
            yield Parameter(ParameterKind(name, units, kind, ""), value)
