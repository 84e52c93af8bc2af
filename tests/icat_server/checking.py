"""What an object must fulfil before it is stored: given, short enough, unique; a parameter fits its type."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from octostream.tests.icat_server.bean import Bean
from octostream.tests.icat_server.faults import OBJECT_ALREADY_EXISTS, VALIDATION, IcatFault
from octostream.tests.icat_server.schema import SCHEMA, Entity
from octostream.tests.icat_server.store import Store
from octostream.tests.icat_server.values import Value, write


def check_row(entity: Entity, row: dict[str, Value]) -> None:
    """Refuse a row that lacks something or has too long a text.

    Raises
    ------
    IcatFault
        VALIDATION.
    """
    for field in (*entity.attributes, *entity.ones):
        value = row.get(field.name)
        if value is None and field.required:
            raise IcatFault(VALIDATION, f"{entity.name}: {field.name} cannot be null.")
        if isinstance(value, str) and field.length and _java_length(value) > field.length:
            raise IcatFault(VALIDATION, f"{entity.name}: {field.name} cannot have length > {field.length}")


def _java_length(text: str) -> int:
    """Give the length as Java counts it: what lies beyond 16 bits counts twice."""
    return len(text) + sum(ord(character) > 0xFFFF for character in text)


def check_unique(
    store: Store,
    entity: Entity,
    row: dict[str, Value],
    own: int | None = None,
    fresh: Container[tuple[str, int]] = (),
) -> None:
    """Refuse a row whose unique key another row has.

    Parameters
    ----------
    own
        The row that is being changed.
    fresh
        What the same call has created (entity, id): ICAT tells a clash with one of those in other words.

    Raises
    ------
    IcatFault
        OBJECT_ALREADY_EXISTS: the message names key and values as ICAT does.
    """
    key = [row.get(name) for name in entity.key]
    if not key or None in key:
        return
    where = " AND ".join(f'"{name}" = ?' for name in entity.key)
    there = store.rows(f'SELECT id FROM "{entity.name}" WHERE {where} AND id IS NOT ?', [*key, own])
    if not there:
        return
    said = []
    for name, value in zip(entity.key, key, strict=True):
        field = entity.fields[name]
        lead = "id" if (entity.name, there[0][0]) in fresh else field.type
        text = f"{lead}:{value}" if field.relation == "ONE" else write(value, field.type)
        said.append(f"{name} = '{text}'")
    raise IcatFault(OBJECT_ALREADY_EXISTS, f"{entity.name} exists with {', '.join(said)}")


def check_parameter(store: Store, bean: Bean) -> None:
    """Refuse a parameter that its type does not apply to or, when that is enforced, whose value is not allowed.

    Raises
    ------
    IcatFault
        VALIDATION.
    """
    given = bean.ones.get("type")
    if given is None:
        raise IcatFault(VALIDATION, "Type of parameter is not set")
    kind = store.find(SCHEMA["ParameterType"], given.id)
    if kind is None:
        raise IcatFault(VALIDATION, f"Type of parameter is not set to one that exists: {given}")
    parent = bean.entity.name.removesuffix("Parameter")
    if not kind[f"applicableTo{parent}"]:
        raise IcatFault(VALIDATION, f"Parameter of type {kind['name']} is not applicable to a {parent}")
    _check_value(store, kind, bean.values)


def _check_value(store: Store, kind: dict[str, Any], values: dict[str, Value]) -> None:
    name, number, text = kind["name"], values.get("numericValue"), values.get("stringValue")
    if not kind["enforced"]:
        return
    if kind["valueType"] == "NUMERIC" and number is not None:
        low, high = kind["minimumNumericValue"], kind["maximumNumericValue"]
        if low is not None and float(number) < low:
            raise IcatFault(VALIDATION, f"Parameter of type {name} has value {number} < {low}")
        if high is not None and float(number) > high:
            raise IcatFault(VALIDATION, f"Parameter of type {name} has value {number} > {high}")
    elif kind["valueType"] == "STRING":
        sql = 'SELECT DISTINCT "value" FROM "PermissibleStringValue" WHERE "type" = ? ORDER BY 1'
        allowed = [row[0] for row in store.rows(sql, [kind["id"]])]
        if allowed and text not in allowed:
            listed = ", ".join(allowed)
            raise IcatFault(VALIDATION, f"Parameter of type {name} has value {text} not in allowed set [{listed}]")
