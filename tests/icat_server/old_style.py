"""The old query style, as a query of the new one: ``0, 10 Dataset.name [complete = True] <-> Sample [name = 'x']``.

Understood is a chain: an entity or one attribute of it, perhaps in DISTINCT or an aggregate, and further entities, each
of which has a relation to one before it; each may have a condition in brackets. What is to come along may follow the
first entity: ``INCLUDE 1`` or ``INCLUDE Investigation, Facility``.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache

from octostream.tests.icat_server.faults import BAD_PARAMETER, IcatFault
from octostream.tests.icat_server.jpql import parse, parse_condition
from octostream.tests.icat_server.schema import ATTRIBUTE, SCHEMA
from octostream.tests.icat_server.syntax import AGGREGATES, Call, Expression, Infix, Join, Path, Query, Test

_FUNCTION = r"(?P<function>(?i:DISTINCT|COUNT|MIN|MAX|AVG|SUM))"
_HEAD = re.compile(
    rf"\s*(?:(?P<skip>\d+)\s*,\s*(?P<count>\d+)\s+)?(?:{_FUNCTION}\b\s*\(?\s*)?"
    r"(?P<entity>[A-Z]\w*)(?:\.(?P<field>\w+))?\s*\)?\s*(?:INCLUDE\s+(?P<include>1\b|[A-Z]\w*(?:\s*,\s*[A-Z]\w*)*))?"
)
_PART = re.compile(r"\s*(?:<->\s*(?P<entity>[A-Z]\w*)|\[(?P<condition>(?:'(?:[^']|'')*'|[^'\]])*)\])")


def _placed(expression: Expression, alias: str) -> Expression:
    """Put the name of an entity before the fields of a condition on it."""
    if isinstance(expression, Path):
        return Path((alias, *expression.parts))
    if isinstance(expression, Infix):
        return replace(expression, left=_placed(expression.left, alias), right=_placed(expression.right, alias))
    if isinstance(expression, Test):
        return replace(expression, operands=tuple(_placed(operand, alias) for operand in expression.operands))
    if isinstance(expression, Call):
        return replace(expression, arguments=tuple(_placed(argument, alias) for argument in expression.arguments))
    return expression


def _link(entity: str, before: list[str]) -> Join:
    """Join an entity to the last one before it that has a relation to it."""
    for index in reversed(range(len(before))):
        fields = [f for f in SCHEMA[before[index]].fields.values() if f.relation != ATTRIBUTE and f.type == entity]
        if fields:
            return Join(Path((f"e{index}", fields[0].name)), f"e{len(before)}", left=False)
    raise IcatFault(BAD_PARAMETER, f"There is no relation from {' or '.join(before)} to {entity}")


def _known(entity: str) -> str:
    if entity not in SCHEMA:
        raise IcatFault(BAD_PARAMETER, f"{entity} is not an entity")
    return entity


def _chain(text: str, first: str) -> tuple[list[Join], Expression | None]:
    """Read conditions and further entities after the first one."""
    entities, joins, position = [first], [], 0
    where: Expression | None = None
    while text[position:].strip():
        part = _PART.match(text, position)
        if part is None:
            raise IcatFault(BAD_PARAMETER, f"The stand-in cannot read this of an old query: {text[position:][:60]}")
        position = part.end()
        if part["entity"]:
            joins.append(_link(_known(part["entity"]), entities))
            entities.append(part["entity"])
            continue
        condition = _placed(parse_condition(part["condition"]), f"e{len(entities) - 1}")
        where = Infix("AND", where, condition) if where else condition
    return joins, where


def _include(entity: str, named: str) -> tuple[tuple[Path, str], ...]:
    """Find the ways to entities that are to come along."""
    reached, steps = [entity], []
    for other in named.replace(",", " ").split():
        join = _link(_known(other), reached)
        reached.append(other)
        steps.append((join.path, join.alias))
    return tuple(steps)


@lru_cache(maxsize=256)
def parse_old(text: str) -> Query:
    """Read a query of the old style.

    Raises
    ------
    IcatFault
        BAD_PARAMETER: it is none, or one with more than a chain.
    """
    head = _HEAD.match(text)
    if head is None:
        raise IcatFault(BAD_PARAMETER, f"This is no query: {text[:60]}")
    entity = _known(head["entity"])
    joins, where = _chain(text[head.end() :], entity)
    function = (head["function"] or "").upper()
    chosen: Expression = Path(("e0", head["field"]) if head["field"] else ("e0",))
    if function in AGGREGATES:
        chosen = Call(function, (chosen,))
    limit = (int(head["skip"]), int(head["count"])) if head["skip"] else None
    include = "1" if head["include"] == "1" else _include(entity, head["include"] or "")
    # Objects found along several ways are one object; ICAT says so with DISTINCT, too.
    distinct = function == "DISTINCT" or (bool(joins) and not function and not head["field"])
    return Query((chosen,), distinct, entity, "e0", tuple(joins), where, (), include, limit)


def parse_any(text: str) -> Query:
    """Read a query of either style.

    Raises
    ------
    IcatFault
        BAD_PARAMETER.
    """
    return parse(text) if text[:6].upper() == "SELECT" else parse_old(text)
