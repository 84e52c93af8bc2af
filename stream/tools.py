"""What a worker needs of kernels and sinks, as promises: ``stream`` knows neither."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from .budget import Need
from .model import Block, Commit, FrameStats, Plan, Run
from .ranges import Ranges
from .tables import Rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Reducer(Protocol):
    """Reduces the frames of one block into buffers of its own."""

    @property
    def instead(self) -> str:
        """What it works on in place of the GPU that the worker has; empty where it is the worker's device."""
        ...

    def begin(self, block: Block) -> None:
        """Start a block; what the buffers held is gone."""
        ...

    def take(self, number: int, pixels: NDArray[np.uint16]) -> None:
        """Take a frame (y, x), in counts; frames come in any order, and twice is the same as once.

        It is free again at once. Whether it is reduced by then is known when its numbers are.
        """
        ...

    def stats(self, number: int) -> FrameStats:
        """Give the numbers of a frame that was taken, after waiting for it."""
        ...

    def level0(self, number: int) -> NDArray[np.uint16]:
        """Give the full-resolution product of a frame that was added (y', x')."""
        ...

    def finish(self) -> Mapping[str, NDArray[Any]]:
        """Give the block's part of every product, by path; valid until the next ``begin``."""
        ...

    def tables(self) -> Mapping[str, Rows]:
        """Give the rows that the finished block adds to the run's tables, by table and column."""
        ...


class Writer(Protocol):
    """Makes products durable."""

    def write(self, block: Block, parts: Mapping[str, NDArray[Any]]) -> int:
        """Write a block's products; durable at return; gives the bytes written."""
        ...

    def committed(self, block: int) -> Commit | None:
        """Give the commit record of a block, if it is durable already and whole."""
        ...

    def commit(self, commit: Commit) -> None:
        """Write the commit record; durable at return."""
        ...

    def close(self) -> None:
        """Free what is held."""
        ...


@dataclass(frozen=True)
class Prepared:
    """A run that a worker can serve.

    Attributes
    ----------
    run : Run
        As the head described it.
    token : str
        By which the run's own agent is known.
    committed : Ranges
        Blocks that are durable already.
    slots : int
        More than so many are of no use.
    reducer : callable
        Allocates the buffers of one slot.
    writer : Writer
        Of the run's store.
    """

    run: Run
    token: str
    committed: Ranges
    slots: int
    reducer: Callable[[], Reducer]
    writer: Writer


class Prepare(Protocol):
    """Reads the description of a run from its store and makes everything ready for it."""

    def need(self, store: str) -> tuple[Plan, Need]:
        """Tell what the run will take, before anything is allocated for it."""
        ...

    def __call__(self, store: str) -> Prepared:
        """Prepare; raises an ``OctostreamError`` that says why it cannot."""
        ...
