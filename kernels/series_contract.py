"""The promises of a step that follows a run, as tests; the test file of such a reduction subclasses them.

class TestLongest(SeriesContract):
    step = STEP
    recipe = ("bin.factor=1",)
    parameters = {"bin": 1}

    def reference(self, images, present): ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..stream.model import Plan
from ..stream.tables import Rows
from .contract_base import Contract
from .contract_checks import Comparison, equal, equal_rows, same, says_what_it_is
from .contract_follow import Run, follow, runs
from .recipe import Recipe
from .reduction import Reduction, plan_reduction


class SeriesContract(Contract):
    """What every step of the kind derived has to keep; `Contract` says what it is told."""

    def reference(self, images: NDArray[np.uint16], present: NDArray[np.bool_]) -> Mapping[str, NDArray[Any] | Rows]:
        """Say in plain NumPy what the step makes of a whole run; override it.

        Parameters
        ----------
        images : uint16 (t, c, z, y, x), counts with the pedestal
            Of the level that the step asks for; 0 where a frame was lost.
        present : bool (t, c, z)
            Which are there.

        Returns
        -------
        mapping
            Arrays by product path, (t, c, z, y, x) or over the whole run, and columns by table name: every product and
            table that the step announces, but those in `not_compared`.
        """
        return {}

    def test_it_says_what_it_is(self) -> None:
        """Name, kind and summary can be shown; every parameter has a valid default and one line of help."""
        says_what_it_is(self.step, ("derived",), "follows a run")

    def test_products_and_tables_are_what_was_announced(self) -> None:
        """Paths, shapes and types of arrays; columns, types and frame numbers of tables; images are only read."""

        def holds(run: Run) -> None:
            follow(self.reduction(run), run)  # checks every time point

        self._for_runs(holds)

    def test_who_begins_again_comes_to_the_same_bits(self) -> None:
        """Another follower, after one that was stopped on the way, and in another run."""

        def holds(run: Run) -> None:
            reduction = self.reduction(run)
            first = follow(reduction, run)
            for other in (run.inverted(), run.until(len(run.images) // 2)):
                follow(reduction, other)
            same(follow(reduction, run), first, "what was followed before changed the result")

        self._for_runs(holds)

    def test_what_comes_later_changes_nothing_before(self) -> None:
        """A run that ends early has the images and rows of one that goes on, and can be finished."""

        def holds(run: Run) -> None:
            reduction = self.reduction(run)
            whole = follow(reduction, run)
            stop = len(run.images) // 2
            part = follow(reduction, run.until(stop))
            for product in reduction.series[-1].products:
                if product.stage == "series":
                    equal(part.arrays[product.path][:stop], whole.arrays[product.path][:stop], f"{product.path} before")
            for name, rows in part.tables.items():
                early = {column: values[: len(rows["frame"])] for column, values in whole.tables[name].items()}
                equal_rows(rows, early, f"table {name} before")

        self._for_runs(holds)

    def test_it_agrees_with_the_reference(self) -> None:
        """Whole numbers are equal, floats agree within `rtol` and `atol`; nothing that the step makes is left out."""
        comparison = Comparison(self.not_compared, self.rtol, self.atol)

        def holds(run: Run) -> None:
            reduction = self.reduction(run)
            comparison.agree(follow(reduction, run), self.reference(run.images, run.present), reduction.series[-1])

        self._for_runs(holds)

    def reduction(self, run: Run) -> Reduction:
        """Make the recipe with the step ready for a run."""
        return self._planned(run.plan)

    def _planned(self, plan: Plan) -> Reduction:
        told = self.step.parameters(**self.parameters)
        return plan_reduction(Recipe.load("lightsheet", [*self.recipe]), plan, extra=[(self.step, told)])

    def _for_runs(self, holds: Callable[[Run], None]) -> None:
        self.try_each(runs(self.smallest, self._planned), holds)
