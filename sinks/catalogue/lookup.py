"""Finding things in ICAT, once each, and creating those that are ours to create."""

from __future__ import annotations

from contextlib import suppress
from copy import copy
from typing import Any

import icat

from .failures import ParkedError
from .text import literal, sent
from .vocabulary import Needed

CHECK = "octostream catalogue check --create makes it, where the account may; then octostream catalogue retry"


class Lookup:
    """Objects of one ICAT, by their keys; remembered until forgotten.

    Parameters
    ----------
    client : icat.Client
        Logged in.
    facility : str
        Name of the Facility.
    """

    def __init__(self, client: Any, facility: str) -> None:
        self.client = client
        self._facility = facility
        self._found: dict[object, Any] = {}
        self._blanks: dict[str, Any] = {}

    def new(self, entity: str, **fields: Any) -> Any:
        """Give a new object of ICAT that is not there yet, as ``client.new``.

        suds builds a tree of everything that could hang on an object, some 10 ms for each; one of a sort is enough, and
        its copies share nothing that changes.
        """
        if entity not in self._blanks:
            self._blanks[entity] = self.client.new(entity).instance
        instance = copy(self._blanks[entity])
        instance.__keylist__ = list(instance.__keylist__)
        return self.client.new(instance, **fields)

    def facility(self) -> Any:
        """Give the facility.

        Raises
        ------
        ParkedError
            There is none of this name, or the account may not see it.
        """
        if "facility" not in self._found:
            found = self.client.search(f"SELECT f FROM Facility f WHERE f.name = {literal(self._facility)}")
            if not found:
                what = f"ICAT has no facility {self._facility!r} that the account may see"
                raise ParkedError(what, "correct `facility` in the settings, or the rules of the account")
            self._found["facility"] = found[0]
        return self._found["facility"]

    def find(self, needed: Needed) -> Any | None:
        """Give an object by its key; None where there is none."""
        key = (needed.entity, *needed.key.items())
        if key not in self._found:
            join, conditions = "", [f"o.{name} = {literal(value)}" for name, value in needed.key.items()]
            if needed.of_facility:
                join, conditions = " JOIN o.facility AS f", [*conditions, f"f.id = {self.facility().id}"]
            found = self.client.search(f"SELECT o FROM {needed.entity} o{join} WHERE {' AND '.join(conditions)}")
            if not found:
                return None
            self._found[key] = found[0]
        return self._found[key]

    def get(self, needed: Needed) -> Any:
        """Give an object by its key.

        Raises
        ------
        ParkedError
            It is not there.
        """
        found = self.find(needed)
        if found is None:
            raise ParkedError(f"ICAT has no {needed} that the account may see", CHECK)
        return found

    def create(self, needed: Needed) -> Any:
        """Create an object, or take the one that is there by now."""
        told = {**needed.key, **needed.others}
        fields = {name: sent(value) if isinstance(value, str) else value for name, value in told.items()}
        if needed.of_facility:
            fields["facility"] = self.facility()
        with suppress(icat.ICATObjectExistsError):  # by somebody else meanwhile, or by a call whose answer was lost
            self.new(needed.entity, **fields).create()
        return self.get(needed)

    def investigation(self, name: str, visit: str) -> Any:
        """Give an investigation, by name and visit: never another one.

        Raises
        ------
        ParkedError
            It is not there.
        """
        key = ("investigation", name, visit)
        if key not in self._found:
            found = self.client.search(
                f"SELECT o FROM Investigation o JOIN o.facility AS f WHERE o.name = {literal(name)}"
                f" AND o.visitId = {literal(visit)} AND f.id = {self.facility().id}"
            )
            if not found:
                what = f"ICAT has no investigation {name!r} with visit {visit!r} that the account may see"
                raise ParkedError(what, "create it there, or let the account read it; then octostream catalogue retry")
            self._found[key] = found[0]
        return self._found[key]

    def sample(self, investigation: Any, name: str) -> Any | None:
        """Give a sample of an investigation, created where there is none; None where this ICAT keeps them otherwise."""
        if "investigation" not in self.client.getEntityClass("Sample").Constraint:
            return None
        query = (
            f"SELECT o FROM Sample o JOIN o.investigation AS i WHERE o.name = {literal(name)}"
            f" AND i.id = {investigation.id}"
        )
        if not (found := self.client.search(query)):
            with suppress(icat.ICATObjectExistsError):
                self.new("Sample", name=sent(name), investigation=investigation).create()
            found = self.client.assertedSearch(query)
        return found[0]

    def forget(self) -> None:
        """Forget what was found: something of it is not there any more."""
        self._found.clear()
