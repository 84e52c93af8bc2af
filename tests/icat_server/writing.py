"""Create, update, delete: what happens to the objects around the one that is named."""

from __future__ import annotations

from octostream.tests.icat_server.access import Access, check_rule
from octostream.tests.icat_server.bean import Bean
from octostream.tests.icat_server.checking import check_parameter, check_row, check_unique
from octostream.tests.icat_server.faults import INTERNAL, NO_SUCH_OBJECT_FOUND, IcatFault
from octostream.tests.icat_server.schema import SCHEMA, Entity
from octostream.tests.icat_server.store import Store
from octostream.tests.icat_server.values import Value, read


def _prepare(store: Store, bean: Bean) -> None:
    """Link children to their parents and look at parameters and rules, all the way down; ids come from here alone."""
    bean.values.pop("id", None)
    for name, children in bean.manys.items():
        for child in children:
            child.ones[bean.entity.fields[name].inverse or ""] = bean
            _prepare(store, child)
    _check_kind(store, bean)


def _check_kind(store: Store, bean: Bean) -> None:
    if bean.entity.is_parameter:
        check_parameter(store, bean)
    elif bean.entity.name == "Rule":
        check_rule(bean)


def _row(bean: Bean) -> dict[str, Value]:
    """Give all that a bean says about its own row; what it does not say is null or the default."""
    row: dict[str, Value] = {}
    for field in bean.entity.attributes:
        value = bean.values.get(field.name)
        row[field.name] = read(field.default, field.type) if value is None and field.default else value
    for field in bean.entity.ones:
        one = bean.ones.get(field.name)
        row[field.name] = one.id if one else None
    return row


def _check_ones(store: Store, bean: Bean, missing: str) -> None:
    for name, one in bean.ones.items():
        if name in bean.entity.fields and (one.id is None or store.find(one.entity, one.id) is None):
            raise IcatFault(missing, f"{bean.entity.name}: {name} leads to {one}, which does not exist")


def _insert(store: Store, bean: Bean, access: Access, now_ms: int) -> int:
    row = _row(bean)
    check_unique(store, bean.entity, row)
    check_row(bean.entity, row)
    _check_ones(store, bean, INTERNAL)
    made = {"createId": access.user, "createTime": now_ms, "modId": access.user, "modTime": now_ms}
    bean.values["id"] = store.insert(bean.entity, {**made, **row})
    for children in bean.manys.values():
        for child in children:
            _insert(store, child, access, now_ms)
    access.demand("CREATE", [(bean.entity, bean.id)])
    return bean.id or 0


def create(store: Store, bean: Bean, access: Access, now_ms: int) -> int:
    """Store an object and, below it, all its children; rights are looked at when everything is there. Gives its id.

    To be called in a transaction.

    Raises
    ------
    IcatFault
        VALIDATION, OBJECT_ALREADY_EXISTS, INSUFFICIENT_PRIVILEGES; INTERNAL for a relation to what does not exist.
    """
    _prepare(store, bean)
    return _insert(store, bean, access, now_ms)


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


def update(store: Store, bean: Bean, access: Access, now_ms: int) -> None:
    """Replace all attributes and many-to-one relations of an object: what is not sent becomes null. Children stay.

    To be called in a transaction.

    Raises
    ------
    IcatFault
        As `create`, and NO_SUCH_OBJECT_FOUND.
    """
    find(store, bean)
    access.demand("UPDATE", [(bean.entity, bean.id)])
    _check_ones(store, bean, NO_SUCH_OBJECT_FOUND)
    row = _row(bean)
    check_row(bean.entity, row)
    check_unique(store, bean.entity, row, bean.id)
    _check_kind(store, bean)
    store.update(bean.entity, bean.id or 0, {"modId": access.user, "modTime": now_ms, **row})


def _with_children(store: Store, entity: Entity, id_: int, found: dict[tuple[str, int], None]) -> None:
    if (entity.name, id_) in found:
        return
    found[entity.name, id_] = None
    for many in entity.manys:
        other = SCHEMA[many.type]
        for (child,) in store.rows(f'SELECT id FROM "{other.name}" WHERE "{many.inverse}" = ?', [id_]):
            _with_children(store, other, child, found)


def delete(store: Store, bean: Bean, access: Access) -> None:
    """Remove an object and everything that belongs to it; all of it must be the user's to delete.

    To be called in a transaction.

    Raises
    ------
    IcatFault
        NO_SUCH_OBJECT_FOUND, INSUFFICIENT_PRIVILEGES.
    """
    find(store, bean)
    found: dict[tuple[str, int], None] = {}
    _with_children(store, bean.entity, bean.id or 0, found)
    access.demand("DELETE", [(SCHEMA[name], id_) for name, id_ in found])
    for name, id_ in found:
        store.delete(SCHEMA[name], id_)
