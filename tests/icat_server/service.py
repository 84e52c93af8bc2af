"""The operations of the service: what each call does, whoever brought it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path as FilePath
from typing import Any

from octostream.tests.icat_server import soap
from octostream.tests.icat_server.access import ROOT, Access
from octostream.tests.icat_server.bean import Bean
from octostream.tests.icat_server.compiling import Compiled, compile_query
from octostream.tests.icat_server.faults import (
    BAD_PARAMETER,
    INSUFFICIENT_PRIVILEGES,
    NO_SUCH_OBJECT_FOUND,
    VALIDATION,
    IcatFault,
)
from octostream.tests.icat_server.including import Gatherer, Tree, tree
from octostream.tests.icat_server.jpql import parse_get
from octostream.tests.icat_server.old_style import parse_any
from octostream.tests.icat_server.schema import PARAMETER, SCHEMA, Entity, Field
from octostream.tests.icat_server.sessions import LIFETIME_MINUTES, MNEMONIC, Sessions
from octostream.tests.icat_server.store import Store
from octostream.tests.icat_server.syntax import Path, Query
from octostream.tests.icat_server.writing import Writer, find
from octostream.tests.icat_server.wsdl import ACCESS_TYPES

VERSION = "6.2.0"
MAX_ENTITIES = 10_000


class Service:
    """The catalogue behind the wire.

    Parameters
    ----------
    data
        The file that keeps everything, or nothing for memory.
    passwords
        Password by user name without mnemonic.
    now
        Gives seconds since 1970; a test may let a day pass.
    """

    def __init__(
        self,
        data: FilePath | None = None,
        passwords: Mapping[str, str] | None = None,
        lifetime_minutes: float = LIFETIME_MINUTES,
        max_entities: int = MAX_ENTITIES,
        now: Callable[[], float] = time.time,
    ):
        self.store = Store(data)
        self.sessions = Sessions(self.store, passwords or {}, lifetime_minutes, now)
        self._lifetime_minutes, self._max_entities, self._now = lifetime_minutes, max_entities, now
        # Whether the call of this thread finds any rights; a test may order that it does not.
        self._call = threading.local()

    def _now_ms(self) -> int:
        return int(self._now() * 1000)

    @property
    def _lost(self) -> bool:
        return getattr(self._call, "lost", False)

    def access(self, session: str | None) -> Access:
        """Give the rights of a session's user.

        Raises
        ------
        IcatFault
            SESSION.
        """
        return Access(self.store, self.sessions.user(session), self._now_ms, self._lost)

    def call(self, operation: str, arguments: dict[str, Any], rights: bool = True) -> str:
        """Do what is asked, with all rights lost if so ordered; gives the content of the answer.

        Raises
        ------
        IcatFault
            What ICAT would raise.
        """
        self._call.lost = not rights
        return getattr(self, f"_{operation}")(**arguments)

    # --- about the service -----------------------------------------------------------------------------------------

    def _getApiVersion(self) -> str:  # noqa: N802 - the name on the wire
        return soap.value("return", VERSION, "String")

    _getVersion = _getApiVersion  # noqa: N815

    def _getEntityNames(self) -> str:  # noqa: N802
        return "".join(soap.value("return", name, "String") for name in sorted(SCHEMA))

    def _getEntityInfo(self, beanName: str) -> str:  # noqa: N802, N803
        return _entity_info(beanName)

    def _getAuthenticatorInfo(self) -> str:  # noqa: N802
        keys = "<keys><name>username</name></keys><keys><hide>true</hide><name>password</name></keys>"
        return f"<return><friendly>Simple</friendly>{keys}<mnemonic>{MNEMONIC}</mnemonic></return>"

    def _getProperties(self, sessionId: str | None) -> str:  # noqa: N802, N803
        if self.sessions.user(sessionId) != ROOT or self._lost:
            raise IcatFault(INSUFFICIENT_PRIVILEGES, "user must be in rootUserNames")
        lines = (
            f"authn.list {MNEMONIC}",
            f"lifetimeMinutes {self._lifetime_minutes:g}",
            f"maxEntities {self._max_entities}",
            f"rootUserNames {ROOT}",
        )
        return "".join(soap.value("return", line, "String") for line in lines)

    # --- sessions --------------------------------------------------------------------------------------------------

    def _login(self, plugin: str | None, credentials: dict[str, str] | None) -> str:
        return soap.value("return", self.sessions.login(plugin or "", credentials or {}), "String")

    def _logout(self, sessionId: str | None) -> str:  # noqa: N803
        self.sessions.logout(sessionId)
        return ""

    def _refresh(self, sessionId: str | None) -> str:  # noqa: N803
        self.sessions.refresh(sessionId)
        return ""

    def _getUserName(self, sessionId: str | None) -> str:  # noqa: N802, N803
        return soap.value("return", self.sessions.user(sessionId), "String")

    def _getRemainingMinutes(self, sessionId: str | None) -> str:  # noqa: N802, N803
        return soap.value("return", self.sessions.remaining_minutes(sessionId), "Double")

    # --- writing ---------------------------------------------------------------------------------------------------

    def _writer(self, session: str | None) -> Writer:
        return Writer(self.store, self.access(session), self._now_ms())

    def _many(self, beans: list[Bean], do: Callable[[Bean], Any]) -> list[Any]:
        """Do something with all beans; a fault says which one was at fault."""
        done: list[Any] = []
        for bean in beans:
            try:
                done.append(do(bean))
            except IcatFault as error:
                error.offset = len(done)
                raise
        return done

    def _create(self, sessionId: str | None, bean: Bean | None) -> str:  # noqa: N803
        with self.store.transaction():
            return soap.value("return", self._writer(sessionId).create(_given(bean)), "Long")

    def _createMany(self, sessionId: str | None, beans: list[Bean]) -> str:  # noqa: N802, N803
        with self.store.transaction():
            made = self._many(beans, self._writer(sessionId).create)
        return "".join(soap.value("return", id_, "Long") for id_ in made)

    def _update(self, sessionId: str | None, bean: Bean | None) -> str:  # noqa: N803
        with self.store.transaction():
            self._writer(sessionId).update(_given(bean))
        return ""

    def _delete(self, sessionId: str | None, bean: Bean | None) -> str:  # noqa: N803
        return self._deleteMany(sessionId, [_given(bean)])

    def _deleteMany(self, sessionId: str | None, beans: list[Bean]) -> str:  # noqa: N802, N803
        with self.store.transaction():
            self._many(beans, self._writer(sessionId).delete)
        return ""

    def _isAccessAllowed(self, sessionId: str | None, bean: Bean | None, accessType: str | None) -> str:  # noqa: N802, N803
        if accessType not in ACCESS_TYPES:
            raise IcatFault(BAD_PARAMETER, f"{accessType} is no type of access")
        with self.store.lock:
            allowed = self._allowed(_given(bean), self._writer(sessionId), accessType)
        return soap.value("return", allowed, "Boolean")

    def _allowed(self, bean: Bean, writer: Writer, kind: str) -> bool:
        if kind != "CREATE":
            return writer.access.may(kind, bean.entity, bean.id or 0)
        try:
            with self.store.transaction():
                writer.create(bean)
                raise _Undone
        except _Undone:
            return True
        except IcatFault as error:
            if error.kind != INSUFFICIENT_PRIVILEGES:
                raise
            return False

    # --- reading ---------------------------------------------------------------------------------------------------

    def _get(self, sessionId: str | None, query: str | None, primaryKey: str | None) -> str:  # noqa: N803
        name, alias, include = parse_get((query or "").strip())
        if name not in SCHEMA:
            raise IcatFault(BAD_PARAMETER, f"{name} is not an entity")
        if not (primaryKey or "").strip().isdigit():
            raise IcatFault(NO_SUCH_OBJECT_FOUND, f"{name}[id:{primaryKey}] not found.")
        entity, id_ = SCHEMA[name], int(primaryKey or 0)
        branches = tree(entity, alias or name, include)
        with self.store.lock:
            access = self.access(sessionId)
            row = find(self.store, Bean(entity, {"id": id_}))
            access.demand("READ", [(entity, id_)])
            bean = Gatherer(self.store, access.visible, self._max_entities).bean(entity, row, branches)
        return soap.found("return", bean, "")

    def _search(self, sessionId: str | None, query: str | None) -> str:  # noqa: N803
        with self.store.lock:
            access = self.access(sessionId)
            asked = parse_any((query or "").strip())
            most = self._max_entities
            compiled = compile_query(asked, access.user, self._now_ms(), access.restrict, most + 1)
            rows = self.store.rows(compiled.sql.text, compiled.sql.values)
            if len(rows) > most:
                raise IcatFault(VALIDATION, f"attempt to process more than {most} entities")
            gatherer = Gatherer(self.store, access.visible, most)
            return "".join(_found(compiled, row, gatherer, _branches(asked, compiled)) for row in rows)


class _Undone(Exception):  # noqa: N818 - no error
    """Takes back what was only tried."""


def _given(bean: Bean | None) -> Bean:
    if bean is None:
        raise IcatFault(BAD_PARAMETER, "The call has no bean")
    return bean


def _branches(query: Query, compiled: Compiled) -> Tree:
    """Give what an answer brings along; INCLUDE belongs to the one object that is selected."""
    if not query.include:
        return {}
    chosen, entity = query.select[0], compiled.columns[0]
    if len(compiled.columns) != 1 or not isinstance(entity, Entity):
        raise IcatFault(BAD_PARAMETER, "INCLUDE is only for queries that select one kind of object")
    root = chosen.parts[-1] if isinstance(chosen, Path) and len(chosen.parts) == 1 else query.alias
    return tree(entity, root, query.include)


def _found(compiled: Compiled, row: tuple[Any, ...], gatherer: Gatherer, branches: Tree) -> str:
    """Give one row of a search as an element, or a set of fields where more than one thing was selected."""
    things, at = [], 0
    for column in compiled.columns:
        if isinstance(column, str):
            things.append((row[at], column))
            at += 1
            continue
        own = dict(zip(column.columns, row[at : at + len(column.columns)], strict=True))
        at += len(column.columns)
        things.append((None if own["id"] is None else gatherer.bean(column, own, branches), ""))
    if len(things) == 1:
        return soap.found("return", *things[0])
    fields = "".join(soap.found("fields", *thing) for thing in things)
    return f'<return xsi:type="tns:fieldSet">{fields}</return>'


@cache
def _entity_info(name: str) -> str:
    entity = PARAMETER if name == "Parameter" else SCHEMA.get(name)
    if entity is None:
        raise IcatFault(BAD_PARAMETER, f"{name} is not an EntityBaseBean")
    key = "".join(soap.value("fieldNames", field, "String") for field in entity.key)
    constraints = f"<constraints>{key}</constraints>" if key else ""
    fields = "".join(_field_info(field) for field in entity.fields.values())
    return f"<return><classComment>{entity.name}</classComment>{constraints}{fields}</return>"


def _field_info(field: Field) -> str:
    # The one kind that cannot be null in Java has a name of its own there.
    kind = "boolean" if field.type == "Boolean" else field.type
    length = f"<stringLength>{field.length}</stringLength>" if field.length else ""
    return (
        f"<fields><name>{field.name}</name><notNullable>{str(field.required).lower()}</notNullable>"
        f"<relType>{field.relation}</relType>{length}<type>{kind}</type></fields>"
    )
