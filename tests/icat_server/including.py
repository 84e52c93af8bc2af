"""INCLUDE: which related objects an answer brings along."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from octostream.tests.icat_server.bean import Bean
from octostream.tests.icat_server.faults import BAD_PARAMETER, VALIDATION, IcatFault
from octostream.tests.icat_server.schema import ATTRIBUTE, ONE, SCHEMA, Entity, Field
from octostream.tests.icat_server.store import Store, bare
from octostream.tests.icat_server.syntax import Path

#: Relations to follow, and those to follow from there.
Tree = dict[str, "Tree"]
#: Whether the user may see an object that a relation leads to: (from, relation, to, its id).
Visible = Callable[[Entity, Field, Entity, int], bool]


def tree(entity: Entity, root: str, include: str | Sequence[tuple[Path, str]]) -> Tree:
    """Give the relations that an INCLUDE clause names; ``root`` is the name of the object that is asked for.

    Raises
    ------
    IcatFault
        BAD_PARAMETER: a name that is not there.
    """
    if include == "1":
        return {one.name: {} for one in entity.ones}
    whole: Tree = {}
    names: dict[str, tuple[Entity, Tree]] = {root: (entity, whole)}
    for way, alias in include:
        assert isinstance(way, Path)
        if way.parts[0] not in names:
            raise IcatFault(BAD_PARAMETER, f"{way.parts[0]} in INCLUDE is not the name of anything")
        here, branch = names[way.parts[0]]
        if len(way.parts) == 1:
            raise IcatFault(BAD_PARAMETER, f"INCLUDE {way.parts[0]} leads nowhere")
        for part in way.parts[1:]:
            relation = here.fields.get(part)
            if relation is None or relation.relation == ATTRIBUTE:
                raise IcatFault(BAD_PARAMETER, f"{here.name}.{part} in INCLUDE is no relation")
            here, branch = SCHEMA[relation.type], branch.setdefault(part, {})
        if alias:
            names[alias] = (here, branch)
    return whole


class Gatherer:
    """Makes beans of rows, with what hangs on them; counts them, for there is a limit."""

    def __init__(self, store: Store, visible: Visible, at_most: int):
        self._store, self._visible, self._left, self._at_most = store, visible, at_most, at_most

    def bean(self, entity: Entity, row: dict[str, Any], branches: Tree) -> Bean:
        """Give the bean of a row and, along the branches, its relations.

        Raises
        ------
        IcatFault
            VALIDATION: more objects than a server returns at once.
        """
        self._left -= 1
        if self._left < 0:
            raise IcatFault(VALIDATION, f"attempt to return more than {self._at_most} entities")
        bean = bare(entity, row)
        for name, further in branches.items():
            relation = entity.fields[name]
            other = SCHEMA[relation.type]
            if relation.relation == ONE:
                found = self._store.find(other, row[name])
                if found and self._visible(entity, relation, other, row[name]):
                    bean.ones[name] = self.bean(other, found, further)
            else:
                rows = self._store.children(other, relation.inverse or "", row["id"])
                seen = [r for r in rows if self._visible(entity, relation, other, r["id"])]  # type: ignore[arg-type]
                bean.manys[name] = [self.bean(other, r, further) for r in seen]
        return bean
