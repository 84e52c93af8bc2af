"""Columns: what a table of measurements holds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    name : str
    dtype : str
        NumPy's name, ``"float32"``.
    unit : str
        Empty where there is none.
    meaning : str
        One line.
    """

    name: str
    dtype: str
    unit: str
    meaning: str
