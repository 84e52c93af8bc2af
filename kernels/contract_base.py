"""What the contracts of all kinds of steps are told, and how they try made-up runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from .step import Step


class Contract:
    """What every contract of steps is told.

    Attributes
    ----------
    step : Step
        Under test.
    parameters : mapping
        Its parameters; the defaults where it is silent. It looks at a level that the recipe makes.
    recipe : sequence of str
        Changes to the recipe ``lightsheet`` that the step acts in: ``"bin.factor=1"``.
    smallest : tuple of int
        Least raw (z, y, x) of a run that it takes.
    examples : int
        Runs that are tried for each promise.
    rtol, atol : float
        Within which floats agree with the reference; whole numbers are equal.
    not_compared : sequence of str
        What the reference does not give: paths of products, ``tables/NAME`` of tables.
    """

    step: ClassVar[Step]
    parameters: ClassVar[Mapping[str, Any]] = {}
    recipe: ClassVar[Sequence[str]] = ()
    smallest: ClassVar[tuple[int, int, int]] = (1, 1, 1)
    examples: ClassVar[int] = 15
    rtol: ClassVar[float] = 1e-5
    atol: ClassVar[float] = 0.0
    not_compared: ClassVar[Sequence[str]] = ()

    def try_each(self, made_up: Any, holds: Callable[[Any], None]) -> None:
        """Try a promise on runs of a Hypothesis strategy."""
        from hypothesis import HealthCheck, given, settings  # the package does without where nothing is tested

        few = settings(max_examples=self.examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        few(given(made_up)(holds))()
