"""What killed writers leave behind, removed when a run is sealed."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from pathlib import Path

from ..stream.model import Plan, Product
from .durable import UNFINISHED, remove_durably
from .layout import merges, shard_file

#: tensorstore writes a shard under its name with this ending before it renames it.
_LOCK = ".__lock"


def remove_uncommitted(store: Path, plan: Plan, products: Iterable[Product], kept: Container[int]) -> None:
    """Remove the shards of blocks that are not to be kept: their frames are lost, and lost is nowhere half there."""
    products = tuple(products)
    for block in plan.blocks:
        if block.number in kept:
            continue
        stack = plan.blocks.of_stack(*block.origin[:2])
        for product in products:
            if merges(plan, product) and any(number in kept for number in stack):
                continue
            shard = shard_file(store, plan, product, block)
            remove_durably(shard, shard.with_name(shard.name + _LOCK))


def remove_unfinished(store: Path, folders: Sequence[Path]) -> None:
    """Remove files that were never finished.

    Raises
    ------
    OSError
        As the system says; the same call may be repeated.
    """
    for folder in (store, *folders):
        for file in folder.glob(f".*{UNFINISHED}"):
            file.unlink(missing_ok=True)
