"""The investigations that ICAT has, kept beside the runs: whoever opens a run learns at once that he misspelt one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from ..database import Tables

if TYPE_CHECKING:
    from .lookup import Lookup  # it needs python-icat, which a service without a catalogue does without

#: Runs of this investigation are of nobody in particular, and stay out of the catalogue: tests, alignment.
LOCAL = "local"
#: What was asked longer ago proves nothing any more, nanoseconds.
FRESH_NS = 180 * 10**9
_PAGE = 1000

Known = Literal["there", "missing", "not known"]


class Investigations(Tables):
    """A copy of the names and visits that the service's account may see."""

    def ask(self, name: str, visit: str, now_ns: int) -> Known:
        """Tell whether an investigation is there, without asking ICAT: opening a run never waits for it."""
        rows = self._database.run(
            "read",
            "SELECT (SELECT asked_ns FROM investigations_asked), "
            "EXISTS (SELECT 1 FROM investigation WHERE name = ? AND visit = ?)",
            (name, visit),
        )
        asked_ns, there = rows[0]
        if there:
            return "there"
        return "missing" if asked_ns is not None and now_ns - asked_ns <= FRESH_NS else "not known"

    def visits(self, name: str) -> Sequence[str]:
        """Give the visits that an investigation has, as far as known."""
        rows = self._database.run("read", "SELECT visit FROM investigation WHERE name = ? ORDER BY visit", (name,))
        return [visit for (visit,) in rows]

    def keep(self, names: set[tuple[str, str]], now_ns: int) -> None:
        """Keep these (name, visit), and that they were asked for just now.

        What was there once stays: an account that may see less for a moment must not have runs refused. For the same
        reason an empty list says nothing at all.
        """
        if not names:
            return
        with self._database.change("keep the investigations in") as execute:
            known = {(name, visit) for name, visit in execute("SELECT name, visit FROM investigation", ())}
            for row in names - known:
                execute("INSERT INTO investigation VALUES (?, ?)", row)
            execute("DELETE FROM investigations_asked", ())
            execute("INSERT INTO investigations_asked VALUES (?)", (now_ns,))


def investigations_of(lookup: Lookup) -> set[tuple[str, str]]:
    """Ask ICAT for the investigations of the facility that the account may see: (name, visit).

    Raises
    ------
    Exception
        As `Registration.deliver`.
    """
    names: set[tuple[str, str]] = set()
    while page := _page(lookup, len(names)):
        names |= {(o.name, o.visitId or "") for o in page}  # suds gives None for an empty text
        if len(page) < _PAGE:
            break
    return names


def _page(lookup: Lookup, skip: int) -> Sequence[Any]:
    return lookup.client.search(
        f"SELECT o FROM Investigation o JOIN o.facility AS f WHERE f.id = {lookup.facility().id}"
        f" ORDER BY o.id LIMIT {skip}, {_PAGE}"
    )
