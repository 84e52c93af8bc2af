"""Which Datafiles a dataset has: decisions without I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ..names import SUFFIX
from . import description as d
from .facts import RunFacts
from .inventory import Inventory


@dataclass(frozen=True)
class File:
    """A Datafile.

    Attributes
    ----------
    name : str
        Within its dataset; it stays, wherever the store is moved to.
    location : str
        Below the data directory.
    nbytes : int or None
        None where it is not known.
    """

    name: str
    location: str
    nbytes: int | None


def files_of(facts: RunFacts, part: d.Part, inventory: Inventory, *, raw_shards: bool) -> Sequence[File]:
    """Give the files of a dataset: the store as a whole, or each shard of raw frames where that is set.

    Parameters
    ----------
    facts : RunFacts
    part : str
    inventory : Inventory
        Of the store.
    raw_shards : bool
        Of the settings.
    """
    if part == "raw" and raw_shards:
        return [File(shard.name, f"{facts.location}/{shard.name}", shard.nbytes) for shard in inventory.shards]
    size = inventory.sizes.get(part)
    name = "raw/0" if part == "raw" else facts.name + SUFFIX
    return [File(name, d.location(facts, part), size.nbytes if size else None)]


def made_at(facts: RunFacts) -> datetime | None:
    """Give when the files of a run were made."""
    return d.when(facts.opened_ns)


def changed_at(facts: RunFacts) -> datetime | None:
    """Give when the files of a run were changed last."""
    return d.when(facts.ended_ns or facts.last_frame_ns or facts.opened_ns)
