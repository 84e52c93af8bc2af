"""What a place for products must do: the promises that worker and head rely on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from ..stream.ledger import Ledger
from ..stream.model import Block, Commit, Loss
from ..stream.tables import Rows


class Sink(Protocol):
    """The worker's side: takes the parts of blocks and makes them durable."""

    def write(self, block: Block, parts: Mapping[str, NDArray[Any]]) -> int:
        """Make the products of a block durable.

        Parameters
        ----------
        block : Block
            Where the parts belong.
        parts : mapping of str to ndarray
            For every product path its array over the block's extent; planes of frames that the block does not hold
            are zero, in arrays of floats NaN. The caller leaves the buffers alone until this returns.

        Returns
        -------
        int
            Bytes stored.

        Raises
        ------
        NoSpaceError
            The disk is full; nothing torn is visible, and the same call may be repeated.
        StoreError
            The store is gone, sealed, read-only or its disk fails.
        """
        ...

    def committed(self, block: int) -> Commit | None:
        """Give the commit record of a block, if it is durable already and whole."""
        ...

    def commit(self, commit: Commit) -> None:
        """Make a block's commit record durable: from here on the block counts as stored."""
        ...

    def close(self) -> None:
        """Let go of everything that is held open."""
        ...


class Keeper(Protocol):
    """The head's side: makes what is committed visible, and finishes the run."""

    def committed(self) -> dict[int, Commit]:
        """Give the blocks that are durable, by number."""
        ...

    def publish(self, committed: Iterable[int]) -> bool:
        """Let readers see committed blocks; tell whether they see more than before."""
        ...

    def seal(self, losses: Sequence[Loss], tables: Mapping[str, Rows]) -> Ledger:
        """Finish the run and give the account of every frame."""
        ...
