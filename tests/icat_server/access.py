"""Who may do what: the rules of the catalogue, as entities of it.

A rule says with its letters (C, R, U, D) what the members of its group, or everybody, may do with the objects that
its query gives. ``what`` is an entity, which means all of them, or a query that may ask for ``:user``. Root may do
everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from octostream.tests.icat_server.bean import Bean
from octostream.tests.icat_server.compiling import Sql, compile_query, ids_of
from octostream.tests.icat_server.faults import BAD_PARAMETER, INSUFFICIENT_PRIVILEGES, IcatFault
from octostream.tests.icat_server.old_style import parse_any
from octostream.tests.icat_server.schema import ATTRIBUTE, SCHEMA, Entity, Field
from octostream.tests.icat_server.store import Store
from octostream.tests.icat_server.syntax import Query

ROOT = "simple/root"
LETTERS = {"CREATE": "C", "READ": "R", "UPDATE": "U", "DELETE": "D"}
_RULES = (
    'SELECT r."crudFlags", r."what" FROM "Rule" r WHERE r."grouping" IS NULL OR r."grouping" IN '
    '(SELECT g."grouping" FROM "UserGroup" g JOIN "User" u ON u."id" = g."user" WHERE u."name" = ?)'
)


def _query(what: str) -> Query | None:
    """Give the query of a rule, or nothing when it is about all objects of an entity."""
    return None if what in SCHEMA else parse_any(what)


def check_rule(bean: Bean) -> None:
    """Refuse a rule that says nothing.

    Raises
    ------
    IcatFault
        BAD_PARAMETER: letters that are none, or a query that cannot be read.
    """
    letters, what = str(bean.values.get("crudFlags") or "").upper().strip(), bean.values.get("what")
    bean.values["crudFlags"] = letters
    if wrong := set(letters) - set(LETTERS.values()):
        raise IcatFault(BAD_PARAMETER, f"CRUD value {letters} contains {min(wrong)}")
    if what is None:
        raise IcatFault(BAD_PARAMETER, "'what' must not be null")
    query = _query(str(what))
    if query is None:
        return
    compile_query(query, "", 0, lambda entity: None)
    if _of_attribute(query) and letters != "U":
        raise IcatFault(BAD_PARAMETER, "Attribute selection in rules is only allowed for Update")


def check_step(bean: Bean) -> None:
    """Refuse a public step along what is no relation.

    Raises
    ------
    IcatFault
        BAD_PARAMETER.
    """
    origin, name = str(bean.values.get("origin")), str(bean.values.get("field"))
    known = SCHEMA[origin].fields.get(name) if origin in SCHEMA else None
    if known is None or known.relation == ATTRIBUTE:
        raise IcatFault(BAD_PARAMETER, f"Field value {name} does not implement a relationship from {origin}")


def _of_attribute(query: Query) -> bool:
    """Whether a rule is about one attribute; SOAP's update does not ask for such rules."""
    return any(getattr(chosen, "parts", ()) != (query.alias,) for chosen in query.select)


class Access:
    """The rights of one user, as the rules are now."""

    def __init__(self, store: Store, user: str, now_ms: Callable[[], int], lost: bool = False):
        self._store, self.user, self._now_ms = store, user, now_ms
        self._root = user == ROOT and not lost
        self._rules: list[tuple[str, str]] = []
        if not self._root and not lost:
            self._rules = [(row[0], row[1]) for row in store.rows(_RULES, [user])]

    def allowed(self, entity: Entity, letter: str) -> Sql | None:
        """Give SQL of the ids that the user may treat so; nothing means all of them."""
        if self._root:
            return None
        parts = []
        for letters, what in self._rules:
            if letter not in letters:
                continue
            query = _query(what)
            if (query.entity if query else what) != entity.name:
                continue
            if query and _of_attribute(query):
                continue
            if query is None or (query.where is None and not query.joins):
                return None
            parts.append(ids_of(query, self.user, self._now_ms()))
        union = " UNION ".join(part.text for part in parts)
        return Sql(union or "SELECT NULL WHERE 0", tuple(v for part in parts for v in part.values))

    def restrict(self, entity: Entity) -> Sql | None:
        """Give SQL of the ids that the user may read; nothing means all."""
        return self.allowed(entity, "R")

    def may(self, kind: str, entity: Entity, id_: int) -> bool:
        """Whether the user may CREATE, READ, UPDATE or DELETE the object with this id."""
        sql = self.allowed(entity, LETTERS[kind])
        return sql is None or bool(self._store.rows(f"SELECT 1 WHERE ? IN ({sql.text})", [id_, *sql.values]))

    def visible(self, entity: Entity, relation: Field, other: Entity, id_: int) -> bool:
        """Whether an object may come along with another one: it is readable, or the relation is a public step."""
        if self.may("READ", other, id_):
            return True
        step = 'SELECT 1 FROM "PublicStep" WHERE "origin" = ? AND "field" = ?'
        return bool(self._store.rows(step, [entity.name, relation.name]))

    def demand(self, kind: str, things: Iterable[tuple[Entity, Any]]) -> None:
        """Refuse what the user may not do.

        Raises
        ------
        IcatFault
            INSUFFICIENT_PRIVILEGES.
        """
        for entity, id_ in things:
            if not self.may(kind, entity, id_):
                raise IcatFault(INSUFFICIENT_PRIVILEGES, f"{kind} access to this {entity.name} is not allowed.")
