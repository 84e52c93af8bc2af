"""What the contracts of steps compare, and how they say what differs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..stream.tables import Rows
from .contract_runs import Outcome
from .step import Planned, Step

_TABLES = "tables/"


@dataclass(frozen=True)
class Comparison:
    """How a result is held against a reference.

    Attributes
    ----------
    leave_out : sequence of str
        Paths of own products, ``tables/NAME`` of own tables, that the reference does not name.
    rtol, atol : float
        Of floats; whole numbers are equal.
    """

    leave_out: Sequence[str]
    rtol: float
    atol: float

    def agree(self, got: Outcome, reference: Mapping[str, Any], own: Planned) -> None:
        """Compare every product and table of a step with what the reference gives.

        Parameters
        ----------
        got : Outcome
        reference : mapping
            Array or rows by path; a table may be called by its name alone.
        own : Planned
            The step, or whatever announces its products and tables.

        Raises
        ------
        AssertionError
            If something differs, or the reference gives nothing, or not all that the step announces.
        """
        expected = {_path(name, value): value for name, value in reference.items()}
        announced = {*(p.path for p in own.products), *(f"{_TABLES}{table.name}" for table in own.tables)}
        assert expected, "the reference gives nothing to compare with"
        left = announced - set(expected) - set(self.leave_out)
        assert not left, f"the reference does not give {sorted(left)}, and not_compared does not name them"
        for path, value in expected.items():
            if not isinstance(value, Mapping):
                assert path in got.arrays, f"there is no array {path}, only {sorted(got.arrays)}"
                self._close(got.arrays[path], value, path)
                continue
            tables = {**got.tables, **got.summaries}
            name = path.removeprefix(_TABLES)
            assert name in tables, f"there is no table {name}, only {sorted(tables)}"
            columns = set(tables[name])
            assert set(value) == columns, f"columns of {name}: {sorted(columns)}, of the reference {sorted(value)}"
            for column, values in value.items():
                self._close(tables[name][column], np.asarray(values), f"{name}.{column}")

    def _close(self, got: NDArray[Any], expected: NDArray[Any], what: str) -> None:
        assert got.shape == expected.shape, f"{what} has the shape {got.shape}, the reference {expected.shape}"
        rtol, atol = (self.rtol, self.atol) if got.dtype.kind == "f" else (0, 0)
        np.testing.assert_allclose(got, expected, rtol=rtol, atol=atol, err_msg=f"{what} is not as the reference")


def _path(name: str, value: Any) -> str:
    return f"{_TABLES}{name}" if isinstance(value, Mapping) and not name.startswith(_TABLES) else name


def says_what_it_is(step: Step, kinds: tuple[str, ...], what: str) -> None:
    """See that name, kind and summary can be shown, and that every parameter has a valid default and a line of help.

    Parameters
    ----------
    step : Step
    kinds : tuple of str
        That it may be of.
    what : str
        What such a step does, for the message.
    """
    assert re.fullmatch(r"[a-z][a-z0-9_]*", step.name), f"the name {step.name!r} is no plain word"
    assert step.kind in kinds, f"{step.kind} is no kind of step that {what}"
    for part, text in {"summary": step.summary, **{p.name: p.help for p in step.declared.values()}}.items():
        assert text, f"{part} is not explained"
        assert text.isprintable(), f"what explains {part} is not one line"
    for parameter in step.declared.values():
        taken = parameter.kind.accept(parameter.default)
        assert taken == parameter.default, f"the default of {parameter.name} is not what it may be"


def same(got: Outcome, expected: Outcome, why: str) -> None:
    """See that two runs gave the same bits."""
    assert got.arrays.keys() == expected.arrays.keys(), why
    for path, array in expected.arrays.items():
        equal(got.arrays[path], array, f"{why}: {path}")
    for mine, theirs in ((got.tables, expected.tables), (got.summaries, expected.summaries)):
        assert mine.keys() == theirs.keys(), f"{why}: tables {sorted(mine)} and {sorted(theirs)}"
        for name, rows in theirs.items():
            equal_rows(mine[name], rows, f"{why}: table {name}")


def equal_rows(got: Rows, expected: Rows, what: str) -> None:
    """See that two tables are equal, column by column."""
    assert got.keys() == expected.keys(), f"{what} has the columns {sorted(got)} and {sorted(expected)}"
    for column, values in expected.items():
        equal(got[column], values, f"{what}, column {column},")


def equal(got: NDArray[Any], expected: NDArray[Any], what: str) -> None:
    """See that two arrays are equal, NaN to NaN."""
    alike = got.shape == expected.shape and np.array_equal(got, expected, equal_nan=got.dtype.kind == "f")
    assert alike, f"{what} differs"
