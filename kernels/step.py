"""A step: what a recipe can name, and what it becomes for a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ..stream.errors import RecipeError
from ..stream.model import Block, Plan, Product, stack_limit
from ..stream.tables import Rows, Table
from .binning import CellNoise
from .parameters import Parameter, Parameters, declared_of

#: How what a step makes of one part of a run comes together with the rest of it. ``map``: frame by frame. ``stack``:
#: stack by stack, of stacks that lie whole in a block. ``fold``: parts of blocks, merged in any order. ``derived``:
#: from the committed images, one time point after another, because it needs those before.
Kind = Literal["map", "stack", "fold", "derived"]
#: Arrays of a block by product path, over its extent.
Arrays = dict[str, NDArray[Any]]


def part_size(product: Product, plan: Plan) -> int:
    """Count the elements of a product that a full block makes."""
    step = {axis: size for axis, size in zip("tcz", plan.blocks.step, strict=True) if axis not in product.own}
    return math.prod(step.get(axis, size) for axis, size in zip(product.axes, product.shape, strict=True))


class StepReducer(Protocol):
    """A step at work on one block after another, in buffers of its own; one thread at a time."""

    def begin(self, block: Block) -> None:
        """Start a block; what the last one left is forgotten."""
        ...

    def add(self, at: int, raw: NDArray[np.uint16], level0: NDArray[np.uint16]) -> None:
        """Take one frame, in any order, each once.

        Parameters
        ----------
        at : int
            Its place in the block, from 0.
        raw : uint16 (y, x), raw counts
            Read only, valid during the call.
        level0 : uint16 (y', x'), counts with the pedestal
            Read only, valid until the block is finished.
        """
        ...

    def finish(self, arrays: Arrays, present: NDArray[np.bool_]) -> Mapping[str, Rows]:
        """Complete the block; called once.

        Parameters
        ----------
        arrays : dict
            What was made before it of the block, all levels among it, frames that never came being 0. The step puts
            its own products in; one that changes others (a mask, codes in place of counts) replaces or overwrites them.
            Arrays stay valid until the next `begin`.
        present : bool (t, c, z)
            Which frames of the block came.

        Returns
        -------
        mapping
            Rows of its tables by name; ``frame`` counts in the run.
        """
        ...


class Series(Protocol):
    """A step that follows the committed images of a run in their order; it keeps what it needs of those before.

    Everything is decided by the images and their order, so whoever follows comes to the same bits.
    """

    def take(self, t: int, images: NDArray[np.uint16], present: NDArray[np.bool_], out: Arrays) -> Mapping[str, Rows]:
        """Take the next time point.

        Parameters
        ----------
        t : int
            Which; one more than the last.
        images : uint16 (c, z, y, x), counts with the pedestal
            Of the level that the step asked for, or what a step before it passed on; 0 where a frame was lost. Read
            only, valid during the call.
        present : bool (c, z)
            Which are there.
        out : dict
            Arrays (c, z, y, x) of its products of stage ``series``, to be filled; zeroed (floats: NaN) before.

        Returns
        -------
        mapping
            Rows of its tables by name, in the order of ``frame``, and none before those of earlier time points.
        """
        ...

    def finish(self) -> Arrays:
        """Give its products of stage ``run``: whole arrays, by path. Called once, after the last time point."""
        ...


@dataclass(frozen=True)
class Setting:
    """What a step of a run stands on.

    Attributes
    ----------
    plan : Plan
    levels : tuple of Product
        The main image, fine to coarse; level 0 first.
    pedestal : float, counts
        What a pixel of the levels has where there is no light, after a calibration that is right.
    noise : CellNoise
        Of a pixel of level 0, against that of raw pixels.
    products : tuple of Product
        Made by the steps that act before, the levels first.
    changed_by : str
        The step that acts before and makes the levels hold something else than counts, somewhere; empty if none does.
    """

    plan: Plan
    levels: tuple[Product, ...]
    pedestal: float
    noise: CellNoise
    products: tuple[Product, ...] = ()
    changed_by: str = ""

    def level(self, key: str, side: int) -> Product:
        """Give the level whose pixels are ``side`` raw pixels long.

        Parameters
        ----------
        key : str
            ``"step.parameter"`` that asks for it, for the message.
        side : int

        Raises
        ------
        RecipeError
            If no level is, or a step before has changed what the levels hold.
        """
        if self.changed_by:
            what = f"{key.partition('.')[0]} needs counts, and {self.changed_by} puts something else in their place"
            raise RecipeError(what, "leave one of the two steps out")
        for level in self.levels:
            if level.factor_yx == side:
                return level
        sides = ", ".join(str(level.factor_yx) for level in self.levels)
        raise RecipeError(f"{key} is {side}, and no level has pixels of that size", f"give one of {sides}")

    def whole_stacks(self, step: str) -> None:
        """See that every stack lies whole in a block.

        Parameters
        ----------
        step : str
            That needs it, for the message.

        Raises
        ------
        RecipeError
            If stacks are split.
        """
        if self.plan.blocks.splits_stacks:
            planes, most = self.plan.shape[2], stack_limit(self.plan)
            what = f"{step} needs whole stacks, and one of {planes} planes does not fit into a block"
            if planes <= most:
                raise RecipeError(what, "plan the run with whole_stacks, or leave the step out")
            raise RecipeError(what, f"take stacks of at most {most} planes, or leave the step out")


@dataclass(frozen=True)
class GpuForm:
    """A reducer on a device, by what it is found and made: steps and their forms there do not import one another.

    Attributes
    ----------
    name : str
        In `GPU_REDUCERS` of ``gpu_reducers``.
    told : tuple
        What it takes after the accelerator.
    """

    name: str
    told: tuple[Any, ...]


@dataclass(frozen=True)
class Planned:
    """What a step becomes for a run.

    Attributes
    ----------
    products : tuple of Product
        It adds, or puts in the place of those with the same path.
    tables : tuple of Table
        All of them, those that `summary` makes too.
    reducer : callable, optional
        Allocates its buffers for one block; of the kinds map, stack and fold.
    on_gpu : GpuForm, optional
        Its form on a device: what that makes is the same, whole numbers bit for bit. Its ``begin`` and
        ``add`` only ask for work, with arrays of that device; ``finish`` has those in host memory. Without one the
        reducer looks at each frame in host memory, when it is reduced.
    summary : callable, optional
        Makes rows of further tables when the run is over: a pure function from the rows of all blocks by table, in
        frame order, to theirs. So a value that needs the frames before it takes no state across blocks.
    changes : bool
        Whether the levels hold something else than counts after it, somewhere.
    series : callable, optional
        Makes it ready to follow a run; of the kind derived.
    level : str
        Path of the level that the series follows.
    passes_on : str
        Path of its product of stage ``series`` that the series after it take in place of the images; empty: they take
        the images that it took. The product is uint16 and has the size of the level.
    held_bytes : int
        What the series holds in memory at most beside the arrays it is given, or the reducer beside the products.
    rows_per_image : int
        What the series puts into each of its tables at most, on average over the images of a run so far: after n images
        no more than n times as many.
    """

    products: tuple[Product, ...] = ()
    tables: tuple[Table, ...] = ()
    reducer: Callable[[], StepReducer] | None = None
    on_gpu: GpuForm | None = None
    summary: Callable[[Mapping[str, Rows]], Mapping[str, Rows]] | None = None
    changes: bool = False
    series: Callable[[], Series] | None = None
    level: str = ""
    passes_on: str = ""
    held_bytes: int = 0
    rows_per_image: int = 1

    def sum_up(self, tables: Mapping[str, Rows]) -> Mapping[str, Rows]:
        """Make the rows that need those of the whole run.

        Parameters
        ----------
        tables : mapping
            Rows of all blocks by table, in frame order.

        Returns
        -------
        mapping
            Rows of further tables, by name; none where the step has no summary.
        """
        own = {table.name: tables[table.name] for table in self.tables if table.name in tables}
        return self.summary(own) if self.summary else {}


@dataclass(frozen=True)
class Step:
    """A reduction that a recipe can name.

    Attributes
    ----------
    name : str
    kind : str
        ``map``, ``stack``, ``fold`` or ``derived``.
    summary : str
        One line.
    parameters : type
        Subclass of `Parameters`.
    plan : callable, optional
        Makes it ready for a run, from an instance of ``parameters`` and a `Setting`; raises RecipeError where it cannot
        be. None for the steps that the one pass over the raw frame does.
    whole_stacks : bool
        Whether every stack has to lie whole in a block: such blocks are made where they can be, and it is planned only
        there.
    """

    name: str
    kind: Kind
    summary: str
    parameters: type[Parameters]
    plan: Callable[[Any, Setting], Planned] | None = None
    whole_stacks: bool = False

    @property
    def declared(self) -> Mapping[str, Parameter]:
        """The parameters by name."""
        return declared_of(self.parameters)
