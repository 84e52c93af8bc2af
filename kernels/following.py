"""Following a run: its time points in their order, each through all steps that need those before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..stream.errors import RecipeError
from ..stream.model import Product
from ..stream.tables import Rows
from .counts import read_only_counts
from .step import Arrays, Planned, Series

if TYPE_CHECKING:
    from .reduction import Reduction


@dataclass(frozen=True)
class Following:
    """What following a run takes.

    Attributes
    ----------
    level : str
        Path of the level whose images are read; empty if no step follows.
    held_bytes : int
        Memory of a `Follower`, at most.
    """

    level: str
    held_bytes: int


def plan_follower(series: tuple[Planned, ...]) -> Following:
    """Work out what to read for the steps that follow a run, and what memory they need.

    Parameters
    ----------
    series : tuple of Planned
        Those of a `Reduction`.

    Returns
    -------
    Following

    Raises
    ------
    RecipeError
        If they look at different levels: a run is followed once.
    """
    levels = sorted({step.level for step in series})
    if len(levels) > 1:
        what = f"the steps that follow the run look at levels {', '.join(levels)}"
        raise RecipeError(what, "let them look at one level: give all of them the same bin")
    buffers = sum(_bytes(product) for step in series for product in step.products if product.stage == "series")
    return Following(levels[0] if levels else "", sum(step.held_bytes for step in series) + buffers)


def _bytes(product: Product) -> int:
    return int(np.prod(product.shape[1:])) * np.dtype(product.dtype).itemsize


@dataclass(frozen=True)
class _Link:
    planned: Planned
    series: Series
    out: Arrays

    @classmethod
    def of(cls, planned: Planned) -> _Link:
        assert planned.series is not None
        made = [product for product in planned.products if product.stage == "series"]
        # Filled, not only asked for: the system hands pages out when they are first written to.
        out = {product.path: np.full(product.shape[1:], 0, product.dtype) for product in made}
        return cls(planned, planned.series(), out)

    def take(self, t: int, images: NDArray[np.uint16], present: NDArray[np.bool_]) -> Mapping[str, Rows]:
        for array in self.out.values():
            array.fill(np.nan if array.dtype.kind == "f" else 0)
        return self.series.take(t, images, present, self.out)


class Follower:
    """Takes the committed images of a run, one time point after another, through the steps that follow it.

    It begins at time point 0 and leaves none out; one that was stopped begins again, and comes to the same bits. Not
    for several threads at once.

    Parameters
    ----------
    reduction : Reduction
        With at least one step that follows.

    Attributes
    ----------
    level : str
        Path of the level whose images it takes.
    held_bytes : int
        What it holds in memory at most.
    """

    def __init__(self, reduction: Reduction) -> None:
        following = plan_follower(reduction.series)
        self.level, self.held_bytes = following.level, following.held_bytes
        self._shape = next(product.shape[1:] for product in reduction.products if product.path == self.level)
        self._links = [_Link.of(planned) for planned in reduction.series]
        self._next = 0

    def take(self, t: int, images: NDArray[np.uint16], present: NDArray[np.bool_]) -> tuple[Arrays, dict[str, Rows]]:
        """Take the next time point.

        Parameters
        ----------
        t : int
            0 at first, then one more each time; a time point of which every frame is lost is one too.
        images : uint16 (c, z, y, x), C-contiguous, counts with the pedestal
            Of the level; 0 where a frame is lost. Read only.
        present : bool (c, z)
            Which are there.

        Returns
        -------
        arrays : dict
            Of every product of stage ``series`` by path, without the axis t; valid until the next call.
        rows : dict
            By table.

        Raises
        ------
        ValueError
            If it is not the next time point, or the images are not those of the level.
        """
        if t != self._next:
            raise ValueError(f"time point {t} came where {self._next} is next")
        images = read_only_counts(images, self._shape, "what was read")
        if present.dtype != np.bool_ or present.shape != self._shape[:2]:
            raise ValueError(f"present is {present.dtype} {present.shape}, not bool {self._shape[:2]}")
        self._next += 1
        arrays: Arrays = {}
        rows: dict[str, Rows] = {}
        for link in self._links:
            rows |= link.take(t, images, present)
            arrays |= link.out
            if link.planned.passes_on:
                images = read_only_counts(link.out[link.planned.passes_on], self._shape, "what was passed on")
        return arrays, rows

    def finish(self) -> Arrays:
        """Give every product of stage ``run`` by path, over the time points that were taken; called once, at the end.

        Returns
        -------
        dict
        """
        return {path: array for link in self._links for path, array in link.series.finish().items()}
