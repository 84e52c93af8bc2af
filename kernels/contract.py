"""The promises of a step as tests; the test file of a reduction subclasses them.

    class TestBrightness(StepContract):
        step = STEP

        def reference(self, raw, level0, present): ...

They need pytest, or anything that runs methods called ``test_…``, and Hypothesis.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..stream.tables import Rows
from .contract_base import Contract
from .contract_checks import Comparison, equal, equal_rows, same, says_what_it_is
from .contract_runs import Case, Outcome, cases, run
from .lane_steps import LANE
from .recipe import Recipe
from .reduction import BlockReducer, Reduction, plan_reduction
from .step import Planned


class StepContract(Contract):
    """What every step of the kinds map, fold and stack has to keep; `Contract` says what it is told."""

    def reference(
        self, raw: NDArray[np.uint16], level0: NDArray[np.uint16], present: NDArray[np.bool_]
    ) -> Mapping[str, NDArray[Any] | Rows]:
        """Say in plain NumPy what the step makes; override it.

        Parameters
        ----------
        raw : uint16 (t, c, z, y, x), raw counts
            0 where a frame never came.
        level0 : uint16 (t, c, z, y', x')
            What the recipe makes of them; 0 where a frame never came.
        present : bool (t, c, z)
            Which frames came.

        Returns
        -------
        mapping
            Arrays by product path, columns by table name (or ``tables/NAME``): every product and table that the step
            announces, but those in `not_compared`.
        """
        return {}

    def test_it_says_what_it_is(self) -> None:
        """Name, kind and summary can be shown; every parameter has a valid default and one line of help."""
        says_what_it_is(self.step, ("map", "stack", "fold"), "acts on blocks")

    def test_products_and_tables_are_what_was_announced(self) -> None:
        """Paths, shapes and types of arrays; columns, types and frame numbers of tables."""

        def holds(case: Case) -> None:
            self.run(self.reduction(case), case)  # checks every block

        self._for_cases(holds)

    def test_the_same_frames_give_the_same_bits(self) -> None:
        """Again in the same buffers, in new ones, and after other frames."""

        def holds(case: Case) -> None:
            reduction = self.reduction(case)
            reducer, first = self.reducer(reduction), self.run(reduction, case)
            for other in (case.inverted(), case):
                last = run(reduction, other, reducer)
            same(last, first, "what came before changed the result")

        self._for_cases(holds)

    def test_the_order_of_arrival_does_not_matter(self) -> None:
        """Frames of a block come in any order."""

        def holds(case: Case) -> None:
            reduction = self.reduction(case)
            same(
                self.run(reduction, case),
                self.run(reduction, case.in_order()),
                "the order of arrival changed the result",
            )

        self._for_cases(holds)

    def test_the_cut_into_blocks_does_not_matter(self) -> None:
        """The whole run in one block, and in many."""

        def holds(case: Case) -> None:
            whole = case.in_one_block()
            same(
                self.run(self.reduction(case), case),
                self.run(self.reduction(whole), whole),
                "the blocks changed the result",
            )

        self._for_cases(holds)

    def test_frames_that_never_came_change_nothing_else(self) -> None:
        """Frames, or stacks of which all came, are as if nothing were missing."""
        if self.step.kind == "fold":
            return

        def holds(case: Case) -> None:
            reduction = self.reduction(case)
            some, everything = self.run(reduction, case), self.run(reduction, case.complete())
            own = {product.path for product in self._own(reduction).products}
            whole = case.present if self.step.kind == "map" else case.present & case.present.all(2, keepdims=True)
            for product in reduction.products:
                if product.path in own and product.axes.startswith("tc"):
                    there = whole if product.axes[2] == "z" and "z" not in product.own else whole.all(2)
                    kept, everything_kept = (made.arrays[product.path][there] for made in (some, everything))
                    equal(kept, everything_kept, f"{product.path} of other frames")
            numbers = np.flatnonzero(whole)
            for name in some.tables:
                rows, all_rows = (_of_frames(made.tables[name], numbers) for made in (some, everything))
                equal_rows(rows, all_rows, f"table {name} of other frames")

        self._for_cases(holds)

    def test_it_leaves_alone_what_is_not_its_own(self) -> None:
        """Frames are only read, and arrays that it does not announce are as without it."""
        if self.step.plan is None:
            return

        def holds(case: Case) -> None:
            reduction = self.reduction(case)
            without = self.reduction(case, with_step=False)
            own = self._own(reduction)
            if own.changes:
                return
            got, expected = self.run(reduction, case), self.run(without, case)
            for path in set(expected.arrays) - {product.path for product in own.products}:
                equal(got.arrays[path], expected.arrays[path], f"{path}, which is not the step's,")

        self._for_cases(holds)

    def test_it_agrees_with_the_reference(self) -> None:
        """Whole numbers are equal, floats agree within `rtol` and `atol`; nothing that the step makes is left out."""
        comparison = Comparison(self.not_compared, self.rtol, self.atol)

        def holds(case: Case) -> None:
            level0 = self.run(self.reduction(case, with_step=False), case).arrays["0"]
            got = self.run(self.reduction(case), case)
            reference = self.reference(case.raw_present, level0, case.present)
            comparison.agree(got, reference, self._own(self.reduction(case)))

        self._for_cases(holds)

    def reduction(self, case: Case, *, with_step: bool = True) -> Reduction:
        """Make the recipe with, or without, the step ready for a run."""
        fused = self.step.name in [step.name for step in LANE]
        told = (
            [f"{self.step.name}.{name}={json.dumps(value)}" for name, value in self.parameters.items()] if fused else []
        )
        switch = [f"{self.step.name}=true"] if fused else []
        recipe = Recipe.load("lightsheet", [*self.recipe, *switch, *told])
        extra = [(self.step, self.step.parameters(**self.parameters))] if with_step and not fused else []
        return plan_reduction(recipe, case.plan, extra=extra)

    def reducer(self, reduction: Reduction) -> BlockReducer:
        """Allocate what blocks are reduced with; override it to hold a device to the contract, too."""
        return reduction.reducer()

    def run(self, reduction: Reduction, case: Case) -> Outcome:
        """Reduce a run, with everything allocated for it."""
        return run(reduction, case, self.reducer(reduction))

    def _own(self, reduction: Reduction) -> Planned:
        return Planned(reduction.lane.products) if self.step.plan is None else reduction.steps[-1]

    def _for_cases(self, holds: Callable[[Case], None]) -> None:
        self.try_each(cases(self.smallest, whole_stacks=self.step.kind == "stack"), holds)


def _of_frames(rows: Rows, numbers: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    keep = np.isin(rows["frame"], numbers)
    return {name: values[keep] for name, values in rows.items()}
