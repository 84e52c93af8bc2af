"""A bean: one entity object as it travels, with the objects around it that travel with it; to and from XML."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

from octostream.tests.icat_server.faults import BAD_PARAMETER, IcatFault
from octostream.tests.icat_server.schema import ATTRIBUTE, BEANS, ONE, SCHEMA, Entity
from octostream.tests.icat_server.values import Value, read, write

TNS = "http://icatproject.org"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
_TYPE, _NIL = f"{{{XSI}}}type", f"{{{XSI}}}nil"


@dataclass
class Bean:
    """One object: attributes as they are stored, related objects by the names of their relations."""

    entity: Entity
    values: dict[str, Value] = field(default_factory=dict)
    ones: dict[str, Bean] = field(default_factory=dict)
    manys: dict[str, list[Bean]] = field(default_factory=dict)

    @property
    def id(self) -> int | None:
        """What the server calls it, if it has it."""
        return self.values.get("id")  # type: ignore[return-value]

    def __str__(self) -> str:
        """As ICAT names an object in its messages."""
        return f"{self.entity.name}:{self.id if self.id is not None else 'null'}"


def _entity_of(element: Any, declared: Entity | None) -> Entity:
    """Resolve ``xsi:type`` by its namespace: prefixes change from call to call."""
    said = element.get(_TYPE)
    if said is None:
        if declared is None:
            raise IcatFault(BAD_PARAMETER, f"{element.tag}: no xsi:type says what it is")
        return declared
    prefix, _, name = said.rpartition(":")
    if element.nsmap.get(prefix or None) != TNS or name not in BEANS:
        raise IcatFault(BAD_PARAMETER, f"{said} is no type of entity")
    return BEANS[name]


def read_bean(element: Any, declared: Entity | None = None) -> Bean:
    """Read one bean, and all that hangs on it.

    Raises
    ------
    IcatFault
        BAD_PARAMETER: an unknown type, or a value that does not fit its field.
    """
    bean = Bean(_entity_of(element, declared))
    for child in element:
        known = bean.entity.fields.get(child.tag)
        if known is None or child.get(_NIL) in ("true", "1"):
            continue
        if known.relation == ATTRIBUTE:
            bean.values[known.name] = read(child.text or "", known.type)
        elif known.relation == ONE:
            bean.ones[known.name] = read_bean(child, SCHEMA[known.type])
        else:
            bean.manys.setdefault(known.name, []).append(read_bean(child, SCHEMA[known.type]))
    return bean


def escaped(text: str) -> str:
    """Give a text as it can stand in an element; a carriage return would be read as a line's end."""
    return escape(text, {"\r": "&#13;"})


def write_bean(bean: Bean, tag: str, typed: bool = False) -> str:
    """Give the XML of a bean; ``typed`` where the place it stands in does not say what it is."""
    fields = bean.entity.fields
    parts = [
        f"<{name}>{escaped(write(value, fields[name].type))}</{name}>"
        for name, value in bean.values.items()
        if value is not None
    ]
    parts += [write_bean(one, name) for name, one in bean.ones.items()]
    parts += [write_bean(child, name) for name, many in bean.manys.items() for child in many]
    mark = f' xsi:type="tns:{bean.entity.bean}"' if typed else ""
    return f"<{tag}{mark}>{''.join(parts)}</{tag}>"
