"""Create, update, delete: what happens to the objects around the one that is named.

ICAT looks closely at the object that a call names, and tells what is wrong with it. What is wrong with its children
comes back as INTERNAL, whatever it is: nobody should take INTERNAL for something that passes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from octostream.tests.icat_server.access import Access, check_rule, check_step
from octostream.tests.icat_server.bean import Bean
from octostream.tests.icat_server.checking import check_parameter, check_row, check_unique
from octostream.tests.icat_server.faults import INTERNAL, NO_SUCH_OBJECT_FOUND, IcatFault
from octostream.tests.icat_server.schema import SCHEMA, Entity
from octostream.tests.icat_server.store import Store
from octostream.tests.icat_server.values import Value, read


def find(store: Store, bean: Bean) -> dict[str, Value]:
    """Give the row of an object that somebody named.

    Raises
    ------
    IcatFault
        NO_SUCH_OBJECT_FOUND.
    """
    if bean.id is None:
        raise IcatFault(NO_SUCH_OBJECT_FOUND, f"{bean.entity.name} has null primary key.")
    row = store.find(bean.entity, bean.id)
    if row is None:
        raise IcatFault(NO_SUCH_OBJECT_FOUND, f"{bean.entity.name}[id:{bean.id}] not found.")
    return row


def _check_kind(store: Store, bean: Bean) -> None:
    """Look at what only some entities must fulfil."""
    if bean.entity.is_parameter:
        check_parameter(store, bean)
    elif bean.entity.name == "Rule":
        check_rule(bean)
    elif bean.entity.name == "PublicStep":
        check_step(bean)


def _row(bean: Bean) -> dict[str, Value]:
    """Give all that a bean says about its own row; what it does not say is null or the default."""
    row: dict[str, Value] = {}
    for known in bean.entity.attributes:
        value = bean.values.get(known.name)
        row[known.name] = read(known.default, known.type) if value is None and known.default else value
    for known in bean.entity.ones:
        one = bean.ones.get(known.name)
        row[known.name] = one.id if one else None
    return row


def _database(error: IcatFault | str) -> IcatFault:
    """Give what comes back when only the database has noticed something."""
    said = error.message if isinstance(error, IcatFault) else error
    return IcatFault(INTERNAL, f"Unexpected DB response class jakarta.persistence.PersistenceException {said}")


@dataclass
class Writer:
    """Changes that one call makes, in the transaction that the caller has begun."""

    store: Store
    access: Access
    now_ms: int
    #: What this call itself has created: a second one with its key is told in other words.
    fresh: set[tuple[str, int]] = field(default_factory=set)

    def create(self, bean: Bean) -> int:
        """Store an object and, below it, all its children; rights are looked at last. Gives its id.

        Raises
        ------
        IcatFault
            VALIDATION, OBJECT_ALREADY_EXISTS, INSUFFICIENT_PRIVILEGES, about the object itself; INTERNAL about a child,
            or a relation to what does not exist.
        """
        self._prepare(bean)
        made = self._insert(bean, named=True)
        self.access.demand("CREATE", [(bean.entity, made)])
        return made

    def _prepare(self, bean: Bean) -> None:
        """Link children to their parents and look at what only some entities must fulfil, all the way down."""
        for name, children in bean.manys.items():
            for child in children:
                child.ones[bean.entity.fields[name].inverse or ""] = bean
                try:
                    self._prepare(child)
                except IcatFault as error:
                    raise IcatFault(INTERNAL, f"class org.icatproject.core.IcatException {error.message}") from None
        _check_kind(self.store, bean)

    def _insert(self, bean: Bean, named: bool) -> int:
        row = _row(bean)
        try:
            check_unique(self.store, bean.entity, row, fresh=self.fresh)
            check_row(bean.entity, row)
        except IcatFault as error:
            raise error if named else _database(error) from None
        for name, one in bean.ones.items():
            if name in row and self.store.find(one.entity, one.id) is None:
                raise _database(f"{bean.entity.name}.{name} refers to {one}, which is not there")
        user, now = self.access.user, self.now_ms
        made = {"createId": user, "createTime": now, "modId": user, "modTime": now}
        id_ = self.store.insert(bean.entity, {**made, **row})
        bean.values["id"] = id_
        self.fresh.add((bean.entity.name, id_))
        for children in bean.manys.values():
            for child in children:
                self._insert(child, named=False)
        return id_

    def update(self, bean: Bean) -> None:
        """Replace all attributes and many-to-one relations: what is not sent becomes null. Children stay.

        Raises
        ------
        IcatFault
            NO_SUCH_OBJECT_FOUND, INSUFFICIENT_PRIVILEGES, VALIDATION; INTERNAL for a key that another object has or
            that lacks a relation.
        """
        old, row = find(self.store, bean), _row(bean)
        me = [(bean.entity, bean.id)]
        self.access.demand("UPDATE", me)
        moved = False
        for name in (one.name for one in bean.entity.ones if one.name in bean.entity.key):
            if row[name] is None:
                said = f"Attempt to set field {name} of {bean} to null"
                raise IcatFault(INTERNAL, f"org.icatproject.core.IcatException: {said}")
            moved = moved or row[name] != old[name]
        if moved:
            self.access.demand("DELETE", me)
        for name, one in bean.ones.items():
            if name in row and self.store.find(one.entity, one.id) is None:
                row[name] = None
        _check_kind(self.store, bean)
        check_row(bean.entity, row)
        try:
            check_unique(self.store, bean.entity, row, bean.id)
        except IcatFault as error:
            raise _database(error) from None
        changed = {"modId": self.access.user, "modTime": self.now_ms, **row}
        self.store.update(bean.entity, bean.id or 0, changed)
        if moved:
            self.access.demand("CREATE", me)

    def delete(self, bean: Bean) -> None:
        """Remove an object and everything that belongs to it; all of it must be the user's to delete.

        Raises
        ------
        IcatFault
            NO_SUCH_OBJECT_FOUND, INSUFFICIENT_PRIVILEGES.
        """
        find(self.store, bean)
        found: dict[tuple[str, int], None] = {}
        self._collect(bean.entity, bean.id or 0, found)
        self.access.demand("DELETE", [(SCHEMA[name], id_) for name, id_ in found])
        for name, id_ in found:
            self.store.delete(SCHEMA[name], id_)

    def _collect(self, entity: Entity, id_: int, found: dict[tuple[str, int], None]) -> None:
        # Much is reached in more than one way: a dataset by its investigation, its type, its sample.
        if (entity.name, id_) in found:
            return
        found[entity.name, id_] = None
        for many in entity.manys:
            for (child,) in self.store.rows(f'SELECT id FROM "{many.type}" WHERE "{many.inverse}" = ?', [id_]):
                self._collect(SCHEMA[many.type], child, found)
