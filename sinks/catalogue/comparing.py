"""Whether ICAT has of a run what it should have: a decision without I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from . import description as d
from .facts import RunFacts


@dataclass(frozen=True)
class Found:
    """A dataset in ICAT that carries the identity of a run.

    Attributes
    ----------
    id : int
    identity, name, investigation, visit : str
    complete : bool
    parameters : mapping
        Values by (name, units).
    files : int
        Datafiles that it has.
    job : bool
        Whether a job is there of which it is the output.
    """

    id: int
    identity: str
    name: str
    investigation: str
    visit: str
    complete: bool
    parameters: Mapping[tuple[str, str], str | float | None]
    files: int
    job: bool


@dataclass(frozen=True)
class Difference:
    """Something that is not as it should be.

    Attributes
    ----------
    text : str
    mendable : bool
        Whether telling the catalogue again puts it right; else a person must.
    """

    text: str
    mendable: bool


def differences(
    facts: RunFacts, status: str, ledger_digest: str, files: Mapping[d.Part, int], found: Sequence[Found]
) -> Sequence[Difference]:
    """Compare what ICAT has with what it should have.

    Parameters
    ----------
    facts : RunFacts
        As the registry has the run now.
    status : str
        ``"recording"``, ``"complete"`` or ``"incomplete"``. Of a run that is recording only what cannot change
        meanwhile is looked at.
    ledger_digest : str
        SHA-256 of the ledger; empty where it cannot be read.
    files : mapping
        How many Datafiles each part should have, at least.
    found : sequence of Found
        All that carry the run's identity.
    """
    told: list[Difference] = []
    for part in d.parts(facts):
        claims = [dataset for dataset in found if dataset.identity == d.identity(facts, part)]
        if not claims:
            told.append(Difference(f"there is no dataset {d.dataset_name(facts, part)!r}", mendable=True))
        elif len(claims) > 1:
            ids = " and ".join(str(dataset.id) for dataset in claims)
            told.append(Difference(f"datasets {ids} both claim to be {d.dataset_name(facts, part)!r}", mendable=False))
        else:
            told += _misplaced(facts, part, claims[0])
            if status != "recording":
                told += _wrong(facts, part, status, ledger_digest, claims[0])
                told += _incomplete(files[part], claims[0])
    return told


def _misplaced(facts: RunFacts, part: d.Part, dataset: Found) -> Iterator[Difference]:
    """Tell what would make telling again make a second dataset: it would not be found where it is looked for."""
    if (dataset.investigation, dataset.visit) != (facts.investigation, facts.visit):
        where = f"investigation {dataset.investigation!r}, visit {dataset.visit!r}"
        yield Difference(f"dataset {dataset.id} is in {where}", mendable=False)
    if dataset.name != (name := d.dataset_name(facts, part)):
        yield Difference(f"dataset {dataset.id} is called {dataset.name!r}, not {name!r}", mendable=False)


def _wrong(facts: RunFacts, part: d.Part, status: str, ledger_digest: str, dataset: Found) -> Iterator[Difference]:
    if dataset.complete != (status == "complete"):
        yield Difference(f"dataset {dataset.id} is {'' if dataset.complete else 'not '}complete", mendable=True)
    for parameter in d.parameters(facts, part, status, ledger_digest):
        kind = parameter.kind
        has = dataset.parameters.get((kind.name, kind.units))
        if has != parameter.value:
            what = "is missing" if has is None else f"is {has!r}, not {parameter.value!r}"
            yield Difference(f"parameter {kind.name} of dataset {dataset.id} {what}", mendable=True)
    if part == "reduced" and not dataset.job:
        yield Difference(f"dataset {dataset.id} has no job", mendable=True)


def _incomplete(files: int, dataset: Found) -> Iterator[Difference]:
    if dataset.files < files:
        has = f"{dataset.files} of {files} Datafiles" if dataset.files else "no Datafile"
        yield Difference(f"dataset {dataset.id} has {has}", mendable=True)
