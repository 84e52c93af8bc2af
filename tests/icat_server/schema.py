"""The schema as data: which entities there are, their fields, what is required, what is unique.

The facts stand in ``schema.txt``, one entity a line; everything else (WSDL, tables, checks, queries) is made from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

TEXT_LENGTH = 255
#: What every kind of parameter can hold.
VALUES = "dateTimeValue:Date error:Double numericValue:Double rangeBottom:Double rangeTop:Double stringValue(4000)"
#: Fields that the server alone sets.
META = ("createId", "createTime", "modId", "modTime")
ENUMS = {
    "ParameterValueType": ("DATE_AND_TIME", "NUMERIC", "STRING"),
    "StudyStatus": ("NEW", "IN_PROGRESS", "COMPLETE", "CANCELLED"),
}
ONE, MANY, ATTRIBUTE = "ONE", "MANY", "ATTRIBUTE"
_TOKEN = re.compile(r"(?P<name>\w+)(?P<required>!?)(?:\((?P<length>\d+)\))?(?::(?P<type>\w+))?(?:=(?P<default>\w+))?")
_RELATION = re.compile(r"(?P<name>\w+)(?P<required>!?)->(?P<type>\w+)\.(?P<inverse>\w+)")
_LINE = re.compile(r"(?P<name>\w+) \[(?P<key>[\w ]*)\] (?P<fields>.+)")


@dataclass(frozen=True)
class Field:
    """One field of an entity.

    ``relation`` is ATTRIBUTE, ONE or MANY; ``type`` a Java type, an enumeration or the related entity; ``inverse`` the
    name of a relation's other side; ``length`` in characters, of strings.
    """

    name: str
    relation: str
    type: str
    required: bool = False
    length: int | None = None
    inverse: str = ""
    default: str | None = None


@dataclass(frozen=True)
class Entity:
    """One entity: its name, the fields of its unique key (may be empty), all fields by name."""

    name: str
    key: tuple[str, ...]
    fields: Mapping[str, Field]

    @cached_property
    def bean(self) -> str:
        """The name on the wire: the first letter is small."""
        return self.name[0].lower() + self.name[1:]

    @cached_property
    def attributes(self) -> tuple[Field, ...]:
        """Own attributes, without id and what the server sets."""
        return tuple(f for f in self.fields.values() if f.relation == ATTRIBUTE and f.name not in ("id", *META))

    @cached_property
    def ones(self) -> tuple[Field, ...]:
        """Many-to-one relations."""
        return tuple(f for f in self.fields.values() if f.relation == ONE)

    @cached_property
    def manys(self) -> tuple[Field, ...]:
        """One-to-many relations."""
        return tuple(f for f in self.fields.values() if f.relation == MANY)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """What is stored, in order: id, what the server sets, attributes, ids of many-to-one relations."""
        return ("id", *META, *(f.name for f in self.attributes), *(f.name for f in self.ones))

    @cached_property
    def is_parameter(self) -> bool:
        """Whether it is one of the five kinds of parameter."""
        return self.name.endswith("Parameter")


def _field(token: str) -> Field:
    if relation := _RELATION.fullmatch(token):
        return Field(relation["name"], ONE, relation["type"], bool(relation["required"]), None, relation["inverse"])
    found = _TOKEN.fullmatch(token)
    assert found, f"schema.txt: {token!r}"
    kind = found["type"] or "String"
    length = int(found["length"] or TEXT_LENGTH) if kind == "String" else None
    return Field(found["name"], ATTRIBUTE, kind, bool(found["required"]), length, "", found["default"])


def _server_fields() -> list[Field]:
    kinds = {"createTime": "Date", "modTime": "Date", "createId": "String", "modId": "String"}
    meta = [Field(n, ATTRIBUTE, k, True, TEXT_LENGTH if k == "String" else None) for n, k in kinds.items()]
    return [Field("id", ATTRIBUTE, "Long"), *meta]


def read_schema(text: str) -> dict[str, Entity]:
    """Make the entities from the table's text; the inverse of each many-to-one relation is added where it belongs."""
    lines = [_LINE.fullmatch(line) for line in text.splitlines() if line and not line.startswith("#")]
    rows = [line for line in lines if line]
    assert len(rows) == len(lines), "schema.txt: a line that cannot be read"
    fields = {row["name"]: [_field(t) for t in row["fields"].replace("+values", VALUES).split()] for row in rows}
    for name, own in list(fields.items()):
        for one in [f for f in own if f.relation == ONE]:
            fields[one.type].append(Field(one.inverse, MANY, name, False, None, one.name))
    return {
        row["name"]: Entity(
            row["name"],
            tuple(row["key"].split()),
            {f.name: f for f in _server_fields() + sorted(fields[row["name"]], key=lambda f: f.name)},
        )
        for row in rows
    }


SCHEMA: dict[str, Entity] = read_schema((Path(__file__).parent / "schema.txt").read_text(encoding="utf-8"))
#: The same by their names on the wire.
BEANS: dict[str, Entity] = {entity.bean: entity for entity in SCHEMA.values()}
#: The abstract parent of all kinds of parameter; it is described, but nothing is stored in it.
PARAMETER = Entity(
    "Parameter",
    (),
    {
        f.name: f
        for f in [
            *_server_fields(),
            *(_field(t) for t in VALUES.split()),
            Field("type", ONE, "ParameterType", True, None, ""),
        ]
    },
)
