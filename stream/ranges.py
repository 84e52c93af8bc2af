"""Sets of whole numbers as sorted, disjoint, inclusive ranges: small on the wire however long a run is."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice


@dataclass(frozen=True, slots=True)
class Ranges:
    """An immutable set of non-negative whole numbers.

    Attributes
    ----------
    spans : tuple of (int, int)
        Inclusive (first, last), sorted, disjoint and not adjacent.
    """

    spans: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, numbers: Iterable[int]) -> Ranges:
        """Make the set of some numbers, in any order, repeated or not."""
        return cls.join((n, n) for n in numbers)

    @classmethod
    def join(cls, spans: Iterable[tuple[int, int]]) -> Ranges:
        """Make the union of inclusive spans that may overlap."""
        merged: list[tuple[int, int]] = []
        for first, last in sorted(spans):
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(merged[-1][1], last))
            else:
                merged.append((first, last))
        return cls(tuple(merged))

    def __or__(self, other: Ranges) -> Ranges:
        """Unite."""
        return Ranges.join((*self.spans, *other.spans))

    def __sub__(self, other: Ranges) -> Ranges:
        """Take away the numbers of another set."""
        return Ranges(tuple(piece for first, last in self.spans for piece in other.outside(first, last)))

    def within(self, first: int, last: int) -> Ranges:
        """Give the part of the set that lies in an inclusive span."""
        return Ranges(tuple((max(a, first), min(b, last)) for a, b in self.spans if a <= last and b >= first))

    def outside(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Give the parts of an inclusive span that are not in the set; quick however large the set is."""
        at = first
        for cut_first, cut_last in islice(self.spans, max(0, bisect_right(self.spans, (first, first)) - 1), None):
            if cut_first > last:
                break
            if cut_last < at:
                continue
            if cut_first > at:
                yield at, cut_first - 1
            at = cut_last + 1
        if at <= last:
            yield at, last

    def __contains__(self, number: object) -> bool:
        """Tell whether a number is in the set."""
        if not isinstance(number, int):
            return False
        at = bisect_right(self.spans, (number, number)) - 1
        inside = at >= 0 and self.spans[at][0] <= number <= self.spans[at][1]
        after = at + 1 < len(self.spans) and self.spans[at + 1][0] == number
        return inside or after

    def __iter__(self) -> Iterator[int]:
        """Go through the numbers in increasing order."""
        for first, last in self.spans:
            yield from range(first, last + 1)

    def __len__(self) -> int:
        """Count the numbers."""
        return sum(last - first + 1 for first, last in self.spans)
