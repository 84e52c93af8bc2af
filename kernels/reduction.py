"""From recipe and plan to products, and the buffers that reduce one block after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..stream.errors import RecipeError
from ..stream.model import Block, FrameStats, Plan, Product
from ..stream.tables import Rows, Table
from .block_work import open_work
from .device import Device
from .following import plan_follower
from .label_levels import LabelLevels, label_products
from .lane import LanePlan, plan_lane
from .parameters import Parameters
from .recipe import Recipe
from .step import Planned, Setting, Step
from .steps import find_step

#: Between them all that is compiled: codes of 16 and of 8 bits, a spectrum of part of a frame and of all of it.
_WARM: Final = (
    (
        *("hot_pixels.pixels=[[0,0]]", "histogram=true", "focus=true", "focus.roi=2", "hot_test=true"),
        *("foreground=true", "keep=true", "quantise=true"),
    ),
    ("focus=true", "quantise=true", "quantise.gain=20"),
)
_NO_MAPS: Final[Mapping[str, NDArray[Any]]] = MappingProxyType({})


@dataclass(frozen=True)
class Reduction:
    """A recipe made ready for a plan.

    Attributes
    ----------
    recipe : Recipe
    plan : Plan
    lane : LanePlan
        The steps that one pass over the raw frame does.
    steps : tuple of Planned
        Those that a worker does beside it, block by block.
    series : tuple of Planned
        Those that follow the committed blocks.
    labels : tuple of Product
        Coarser levels of the labels that the steps make.
    products : tuple of Product
        Of all of them: the levels first.
    tables : tuple of Table
    """

    recipe: Recipe
    plan: Plan
    lane: LanePlan
    steps: tuple[Planned, ...]
    series: tuple[Planned, ...]
    labels: tuple[Product, ...]
    products: tuple[Product, ...]
    tables: tuple[Table, ...]

    def reducer(self, device: Device | None = None) -> BlockReducer:
        """Allocate the buffers for one block; several reducers of one reduction may work in different threads.

        Parameters
        ----------
        device : Device, optional
            A GPU to reduce on; None: the CPU. The products are the same where offset and gain are whole numbers; where
            they are not, some pixels are one count off that lie next to a half.
        """
        return BlockReducer(self, device)


def plan_reduction(
    recipe: Recipe,
    plan: Plan,
    maps: Mapping[str, NDArray[Any]] = _NO_MAPS,
    *,
    keep_raw: bool = False,
    extra: Sequence[tuple[Step, Parameters]] = (),
) -> Reduction:
    """Work out what a recipe makes of a plan.

    Parameters
    ----------
    recipe : Recipe
        Resolved: no map is a file any more.
    plan : Plan
    maps : mapping
        Arrays that the recipe refers to, by ``"step.parameter"``.
    keep_raw : bool
        Whether ``raw/0`` is a product too.
    extra : sequence of (Step, Parameters)
        Steps that act after those of the recipe: some that no package offers yet, as when they are tested.

    Returns
    -------
    Reduction

    Raises
    ------
    RecipeError
        If a map is missing, is another than the recipe names, or does not fit the frames, or a step cannot be done with
        this plan.
    """
    lane = plan_lane(recipe, plan, maps, keep_raw=keep_raw)
    setting = _after(Setting(plan, (), lane.pedestal, lane.cells.noise), "", Planned(lane.products))
    planned: list[Planned] = []
    for step, told in (*((find_step(name), recipe.parameters(name)) for name in recipe.steps), *extra):
        planned.append(_planned(step, told, setting))
        setting = _after(setting, step.name, planned[-1])
    series = tuple(step for step in planned if step.series)
    plan_follower(series)
    return Reduction(
        recipe=recipe,
        plan=plan,
        lane=lane,
        steps=tuple(step for step in planned if step.reducer),
        series=series,
        labels=(labels := label_products(setting.products)),
        products=(*setting.products, *labels),
        tables=tuple(table for step in planned for table in step.tables),
    )


def _after(setting: Setting, name: str, step: Planned) -> Setting:
    products = {product.path: product for product in (*setting.products, *step.products)}
    return replace(
        setting,
        levels=tuple(product for product in products.values() if product.path.isdigit()),
        products=tuple(products.values()),
        changed_by=name if step.changes else setting.changed_by,
    )


def _planned(step: Step, told: Parameters, setting: Setting) -> Planned:
    if step.plan is None:
        return Planned()
    if step.whole_stacks:
        setting.whole_stacks(step.name)
    try:
        return step.plan(told, setting)
    except RecipeError:
        raise
    except Exception as error:  # the step may be of another package
        what = f"step '{step.name}' cannot be made ready ({type(error).__name__}: {error})"
        raise RecipeError(what.partition("\n")[0], "check its parameters, or leave the step out") from error


class BlockReducer:
    """Buffers that hold the products of one block while its frames come in; used again for every block.

    Not for several threads at once. What it gives out are views of the buffers, valid until the next `begin`.

    Parameters
    ----------
    reduction : Reduction
    device : Device, optional
        A GPU to reduce on.
    """

    def __init__(self, reduction: Reduction, device: Device | None = None) -> None:
        self._reduction = reduction
        self._work, self._instead = open_work(reduction.lane, reduction.steps, device)
        self._labels = LabelLevels(reduction.labels, reduction.plan)
        self._block: Block | None = None
        self._taken: set[int] = set()
        self._arrays: Mapping[str, NDArray[Any]] | None = None
        self._tables: dict[str, Rows] = {}

    @property
    def instead(self) -> str:
        """What it works on in place of the device that it was given; empty where it is that device."""
        return self._instead

    def begin(self, block: Block) -> None:
        """Start a block; what the last one left is forgotten.

        Parameters
        ----------
        block : Block
            Of the reduction's plan.
        """
        if block != self._reduction.plan.blocks[block.number]:
            raise ValueError(f"block {block.number} is not a block of this plan")
        self._block, self._arrays, self._tables = block, None, {}
        self._taken.clear()
        self._work.begin(block)

    def take(self, number: int, pixels: NDArray[np.uint16]) -> None:
        """Take one frame of the block, in any order. A number that was taken before changes nothing.

        On the CPU it is reduced when this returns; a GPU goes on while the next one comes.

        Parameters
        ----------
        number : int
            Frame number in the run.
        pixels : uint16 (y, x), C-contiguous, raw counts
            Read only, and free again at once.

        Raises
        ------
        ValueError
            If the frame is not of this block, the array not what the plan says, or the block is finished.
        """
        at = self._place(number)
        if at in self._taken:
            return
        if self._arrays is not None:
            raise ValueError(f"frame {number} came after its block was finished")
        shape = self._reduction.plan.frame_shape
        if pixels.dtype != np.uint16 or pixels.shape != shape or not pixels.flags.c_contiguous:
            raise ValueError(f"frame {number} is {pixels.dtype} {pixels.shape}, not C-contiguous uint16 of the plan")
        self._work.take(at, pixels)
        self._taken.add(at)

    def stats(self, number: int) -> FrameStats:
        """Give the numbers of a frame that was taken, of the raw counts, after waiting for it.

        Raises
        ------
        ValueError
            If the frame was not added to this block.
        """
        return self._work.stats(self._place_taken(number))

    def add(self, number: int, pixels: NDArray[np.uint16]) -> FrameStats:
        """Take one frame, and wait for its numbers; the parameters are those of `take`."""
        self.take(number, pixels)
        return self.stats(number)

    def level0(self, number: int) -> NDArray[np.uint16]:
        """Give the plane of level 0 of an added frame, for previews.

        Parameters
        ----------
        number : int

        Returns
        -------
        uint16 (y', x')
            A view.

        Raises
        ------
        ValueError
            If the frame was not added to this block.
        """
        return self._work.level0(self._place_taken(number))

    def finish(self) -> Mapping[str, NDArray[Any]]:
        """Complete the block; frames that never came are 0. Asked again, it gives the same arrays.

        Returns
        -------
        mapping
            Array of every product of stage ``block`` by path, over the block's extent, C-contiguous.
        """
        if self._block is None:
            raise ValueError("no block was begun")
        if self._arrays is None:
            present = np.zeros(self._block.count, bool)
            present[list(self._taken)] = True
            arrays, self._tables = self._work.finish(present.reshape(self._block.extent))
            self._labels.finish(arrays)
            self._arrays = arrays
        return self._arrays

    def tables(self) -> Mapping[str, Rows]:
        """Give the rows of every table that the finished block makes, by table and column."""
        return self._tables

    def _place(self, number: int) -> int:
        if self._block is None or number not in self._block.frames:
            raise ValueError(f"frame {number} is not of the block that was begun")
        return number - self._block.first

    def _place_taken(self, number: int) -> int:
        at = self._place(number)
        if at not in self._taken:
            raise ValueError(f"frame {number} was not added to this block")
        return at


def warm_up() -> None:
    """Compile, or load from disk, all that reducing a block needs, whatever the recipe; steps of other packages apart.

    A worker calls this before it says it is ready: what is compiled later holds up the frames.
    """
    plan = Plan((1, 1, 1, 4, 4))
    for overrides in _WARM:
        reducer = plan_reduction(Recipe.load("lightsheet", ["pyramid.until=1", *overrides]), plan).reducer()
        reducer.begin(plan.blocks[0])
        reducer.add(0, np.zeros((4, 4), np.uint16))
        reducer.finish()
