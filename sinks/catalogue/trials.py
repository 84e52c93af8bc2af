"""What the account is asked whether it may: objects like those that are registered, which the server never keeps."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .lookup import Lookup
from .vocabulary import IDENTITY, Needed, application

Right = Literal["CREATE", "READ", "UPDATE", "DELETE"]
#: A dataset that is complete is looked for among the newest so many.
_LOOKED_AT = 20


@dataclass(frozen=True)
class Trial:
    """One question to the server.

    Attributes
    ----------
    right : str
    entity : str
    ask : callable or None
        Gives whether the account may; None where there is nothing yet to ask with.
    """

    right: Right
    entity: str
    ask: Callable[[], bool] | None


class Trials:
    """The questions whether runs may be registered.

    The server answers whether it would create an object by creating it and taking that back. Rights are looked at for
    the object that a call names, not for those that are created with it; so they are asked for as runs need them.

    Parameters
    ----------
    lookup : Lookup
        By the service's account.
    needs : sequence of Needed
        What runs refer to, where it is there.
    """

    def __init__(self, lookup: Lookup, needs: Sequence[Needed]) -> None:
        self._lookup = lookup
        self._client = lookup.client
        self._new = lookup.client.new
        self._there: dict[str, list[Any]] = {}
        for thing in needs:
            if (found := lookup.find(thing)) is not None:
                self._there.setdefault(thing.entity, []).append(found)
        self._name = f"octostream check {uuid.uuid4()}"

    def all(self) -> Iterator[Trial]:
        """Give every question."""
        investigation, ours = self._investigation(), self._ours()
        yield self._may("CREATE", "Application", self._application())
        yield self._may("CREATE", "Sample", self._sample(investigation))
        yield self._may("CREATE", "Dataset", self._dataset(investigation))
        yield self._may("CREATE", "DatasetParameter", self._parameter(ours))
        yield self._may("CREATE", "Datafile", self._datafile(ours))
        yield self._may("CREATE", "DataCollection", self._new("DataCollection"))
        parameter = ours.parameters[0] if ours and ours.parameters else None
        datafile = self._datafile_of(ours)
        yield Trial("READ", "DatasetParameter", (lambda: parameter is not None) if ours else None)
        whole = ours is not None and ours.complete
        yield Trial("READ", "Datafile", (lambda: datafile is not None) if whole else None)
        for entity, seen in self._collections(ours).items() if whole else ():
            yield Trial("READ", entity, lambda seen=seen: seen)
        yield self._may("UPDATE", "Dataset", ours)
        yield self._may("UPDATE", "DatasetParameter", parameter)
        yield self._may("UPDATE", "Datafile", datafile)
        yield self._may("DELETE", "Dataset", ours)

    def of_owners(self) -> Iterator[Trial]:
        """Give what is asked, too, where the data of runs are handed to the users of their investigations.

        An investigation that has users can be found by that without a right to see them.
        """
        found = self._client.search(
            "SELECT o FROM Investigation o JOIN o.facility AS f JOIN o.investigationUsers AS u"
            f" WHERE f.id = {self._lookup.facility().id} ORDER BY o.id DESC LIMIT 0, 1"
        )
        links = found and self._client.search(
            f"SELECT o FROM InvestigationUser o JOIN o.investigation AS i WHERE i.id = {found[0].id} INCLUDE o.user"
        )
        yield Trial("READ", "InvestigationUser", (lambda: bool(links)) if found else None)
        yield Trial("READ", "User", (lambda: any(link.user for link in links)) if links else None)

    def _may(self, right: Right, entity: str, bean: Any | None) -> Trial:
        ask = None if bean is None else lambda: bool(self._client.isAccessAllowed(bean, right))
        return Trial(right, entity, ask)

    def _application(self) -> Any:
        return self._new("Application", facility=self._lookup.facility(), **application(self._name).key)

    def _investigation(self) -> Any | None:
        found = self._client.search(
            f"SELECT o FROM Investigation o JOIN o.facility AS f WHERE f.id = {self._lookup.facility().id}"
            " ORDER BY o.id DESC LIMIT 0, 1"
        )
        return found[0] if found else None

    def _sample(self, investigation: Any | None) -> Any | None:
        if investigation is None or "investigation" not in self._client.getEntityClass("Sample").Constraint:
            return None
        return self._new("Sample", name=self._name, investigation=investigation)

    def _dataset(self, investigation: Any | None) -> Any | None:
        kinds = self._there.get("DatasetType")
        if investigation is None or not kinds:
            return None
        return self._new("Dataset", name=self._name, complete=False, investigation=investigation, type=kinds[0])

    def _parameter(self, dataset: Any | None) -> Any | None:
        """Give a parameter that a dataset does not have yet: of each type it has one."""
        if dataset is None:
            return None
        has = {parameter.type.id for parameter in dataset.parameters}
        kind = next((k for k in self._there.get("ParameterType", ()) if k.id not in has), None)
        if kind is None:
            return None
        value = {"stringValue": self._name} if kind.valueType == "STRING" else {"numericValue": 0.0}
        return self._new("DatasetParameter", dataset=self._new("Dataset", id=dataset.id), type=kind, **value)

    def _datafile(self, dataset: Any | None) -> Any | None:
        if dataset is None:
            return None
        return self._new("Datafile", dataset=self._new("Dataset", id=dataset.id), name=self._name)

    def _ours(self) -> Any | None:
        """Give one of the newest datasets of octostream, complete if there is such a one; None where there is none."""
        found = self._client.search(
            "SELECT o FROM Dataset o JOIN o.investigation AS i JOIN i.facility AS f JOIN o.parameters AS p"
            f" JOIN p.type AS t WHERE f.id = {self._lookup.facility().id} AND t.name = '{IDENTITY.name}'"
            f" ORDER BY o.id DESC LIMIT 0, {_LOOKED_AT} INCLUDE o.parameters AS p, p.type"
        )
        return next((dataset for dataset in found if dataset.complete), found[0] if found else None)

    def _datafile_of(self, dataset: Any | None) -> Any | None:
        """Give one file of a dataset: with all of them an answer might be longer than a server gives."""
        if dataset is None:
            return None
        found = self._client.search(
            f"SELECT o FROM Datafile o JOIN o.dataset AS d WHERE d.id = {dataset.id} ORDER BY o.id LIMIT 0, 1"
        )
        return found[0] if found else None

    def _collections(self, dataset: Any) -> Mapping[str, bool]:
        """Give whether the account sees how a dataset came about, entity by entity."""
        (found,) = self._client.assertedSearch(
            f"SELECT o FROM Dataset o WHERE o.id = {dataset.id}"
            " INCLUDE o.dataCollectionDatasets AS l, l.dataCollection AS c, c.parameters"
        )
        links = found.dataCollectionDatasets
        collections = [link.dataCollection for link in links if link.dataCollection is not None]
        return {
            "DataCollectionDataset": bool(links),
            "DataCollection": bool(collections),
            "DataCollectionParameter": any(collection.parameters for collection in collections),
        }
