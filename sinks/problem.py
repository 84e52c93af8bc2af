"""One thing that a verification found wrong."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and where.

    Attributes
    ----------
    text : str
        One line for people, naming frames or files.
    block : int or None
        Number of the block whose pixels are missing, damaged or wrong.
    file : str or None
        Path in the store of a file that is missing or not what was written; None where it only lags behind.
    """

    text: str
    block: int | None = None
    file: str | None = None
