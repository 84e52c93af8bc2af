"""What killed writers leave behind, removed when a run is sealed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ..stream.model import Plan, Product
from .durable import UNFINISHED
from .growth import Growth
from .layout import merges, shard_file

#: tensorstore writes a shard under its name with this ending before it renames it.
_LOCK = ".__lock"


def remove_uncommitted(store: Path, plan: Plan, products: Iterable[Product], growth: Growth) -> None:
    """Remove the shards of blocks without a commit record: their frames are lost, and lost is nowhere half there."""
    products = tuple(products)
    for block in plan.blocks:
        if block.number in growth:
            continue
        stack = plan.blocks.of_stack(*block.origin[:2])
        for product in products:
            if merges(plan, product) and any(number in growth for number in stack):
                continue
            shard = shard_file(store, plan, product, block)
            shard.unlink(missing_ok=True)
            shard.with_name(shard.name + _LOCK).unlink(missing_ok=True)


def remove_unfinished(store: Path, folders: Sequence[Path]) -> None:
    """Remove files that were never finished."""
    for folder in (store, *folders):
        for file in folder.glob(f".*{UNFINISHED}"):
            file.unlink(missing_ok=True)
