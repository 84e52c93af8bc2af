"""How far a store may be shown: the decision, without any I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from ..stream.model import Plan, Product
from .layout import placed

Axis = Literal["t", "z"]


@dataclass(frozen=True, slots=True)
class Extent:
    """What readers may see.

    Attributes
    ----------
    axis : str
        The axis along which the store grows.
    length : int
        Visible length along it.
    stacks : bool
        Whether arrays without that axis (the xy projection of a single stack) are visible.
    """

    axis: Axis
    length: int
    stacks: bool


@dataclass(frozen=True, slots=True)
class Reach:
    """How far along t and z the frames reach that a block holds: one past the last; 0 where it holds none."""

    t: int
    z: int


def growth_axis(plan: Plan) -> Axis:
    """Give the axis along which a store grows: t, or z where there is a single stack."""
    return "z" if plan.shape[0] == 1 and plan.shape[2] > 1 else "t"


def reach(plan: Plan, frames: Iterable[int]) -> Reach:
    """Give how far some frames of a plan reach."""
    t_last = z_last = -1
    for number in frames:
        t, _, z = plan.index(number)
        t_last, z_last = max(t_last, t), max(z_last, z)
    return Reach(t_last + 1, z_last + 1)


class Growth:
    """The blocks committed so far, and how far they let readers see.

    Only whole leading rows of blocks count (all channels, all z), so that nothing visible can ever change; a gap stops
    the growth until it is filled. A short last block shows no further than its last frame.

    Parameters
    ----------
    plan : Plan
        The run's plan.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.axis: Axis = growth_axis(plan)
        # A byte a block, and how far it reaches only until its row is shown: a long run has very many blocks.
        self._committed = bytearray(len(plan.blocks))
        self._pending: dict[int, int] = {}
        self._farthest = 0
        self._rows = 0
        self._length = 0
        self._shown = Extent(self.axis, 0, stacks=False)

    def add(self, block: int, block_reach: Reach) -> None:
        """Count a block as committed."""
        far = block_reach.t if self.axis == "t" else block_reach.z
        self._committed[block] = 1
        self._farthest = max(self._farthest, far)
        if self._row_of(block) >= self._rows:
            self._pending[block] = far

    def __iter__(self) -> Iterator[int]:
        """Go through the committed blocks."""
        return (block for block, held in enumerate(self._committed) if held)

    def __contains__(self, block: object) -> bool:
        """Tell whether a block is committed."""
        return isinstance(block, int) and 0 <= block < len(self._committed) and bool(self._committed[block])

    @property
    def visible(self) -> Extent:
        """What may be shown while the run goes on."""
        rows = self.plan.blocks.grid[0 if self.axis == "t" else 2]
        while self._rows < rows and all(number in self._pending for number in self.row(self._rows)):
            self._length = max(self._length, *(self._pending.pop(n) for n in self.row(self._rows)))
            self._rows += 1
        length = max(self._length, self._shown.length)
        return Extent(self.axis, length, self._shown.stacks or (self._rows == rows and length > 0))

    def never_below(self, extent: Extent) -> None:
        """Show no less than this: readers saw it already."""
        self._shown = extent

    @property
    def final(self) -> Extent:
        """What is shown when the run is over: as far as any stored frame."""
        return Extent(self.axis, self._farthest, self._farthest > 0)

    def row(self, k: int) -> range:
        """Give the blocks that cover step ``k`` of the growth axis."""
        _, grid_c, grid_z = self.plan.blocks.grid
        if self.axis == "t":
            return self.plan.blocks.row(k)
        return range(k, grid_c * grid_z, grid_z)

    def _row_of(self, block: int) -> int:
        _, grid_c, grid_z = self.plan.blocks.grid
        return block // (grid_c * grid_z) if self.axis == "t" else block % grid_z


def visible_shape(product: Product, extent: Extent) -> tuple[int, ...]:
    """Give the shape that an array of committed or derived blocks shows at an extent of the store."""
    if extent.axis in placed(product):
        return tuple(extent.length if a == extent.axis else n for a, n in zip(product.axes, product.shape, strict=True))
    return tuple(
        (n if extent.stacks else 0) if a == "t" else n for a, n in zip(product.axes, product.shape, strict=True)
    )
