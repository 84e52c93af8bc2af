"""The query language: its words, and what a query consists of.

A query is ``SELECT … FROM Entity o [JOIN …] [WHERE …] [ORDER BY …] [INCLUDE …] [LIMIT skip, count]``. Words of the
language may be written in either case, names of entities and fields may not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from octostream.tests.icat_server.faults import BAD_PARAMETER, IcatFault

AGGREGATES = ("COUNT", "MIN", "MAX", "AVG", "SUM")
COMPARISONS = ("=", "<>", "!=", "<=", ">=", "<", ">")
_TOKENS = re.compile(
    r"(?P<space>\s+)|(?P<text>'(?:[^']|'')*')|(?P<date>\{\s*(?:ts|d)\s+'?(?P<moment>[^'}]+?)'?\s*\})"
    r"|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*)*)|(?P<parameter>:\w+)|(?P<sign><=|>=|<>|!=|[=<>(),+*/-])"
)
CONSTANTS = {"TRUE": True, "FALSE": False, "NULL": None}
_CLAUSES = "SELECT DISTINCT FROM AS LEFT OUTER INNER JOIN WHERE ORDER BY ASC DESC INCLUDE LIMIT"
RESERVED = frozenset(f"{_CLAUSES} AND OR NOT IS NULL EMPTY LIKE ESCAPE BETWEEN IN TRUE FALSE".split())
NOW = ("CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME")


@dataclass(frozen=True)
class Path:
    """A name, or a way along relations: ``o.investigation.name``."""

    parts: tuple[str, ...]


@dataclass(frozen=True)
class Literal:
    """A constant; ``date`` when it was written as one."""

    value: str | int | float | bool | None
    date: bool = False


@dataclass(frozen=True)
class Parameter:
    """A value that the server knows: ``:user``."""

    name: str


@dataclass(frozen=True)
class Call:
    """A function of the language, an aggregate among them."""

    name: str
    arguments: tuple[Expression, ...]
    distinct: bool = False


@dataclass(frozen=True)
class Infix:
    """Two expressions and what stands between them: arithmetic, comparison, AND, OR."""

    sign: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Test:
    """A predicate: NOT, LIKE, IN, BETWEEN, NULL, EMPTY; ``operands`` begin with what is tested."""

    kind: str
    operands: tuple[Expression, ...]
    negated: bool = False


Expression = Path | Literal | Parameter | Call | Infix | Test


@dataclass(frozen=True)
class Join:
    """One JOIN: a way, the name for what it leads to, and whether objects without it stay."""

    path: Path
    alias: str
    left: bool


@dataclass(frozen=True)
class Query:
    """A whole query. ``include`` is the string "1", or ways with the names given to their ends (may be empty)."""

    select: tuple[Expression, ...]
    distinct: bool
    entity: str
    alias: str
    joins: tuple[Join, ...]
    where: Expression | None
    order: tuple[tuple[Expression, bool], ...]
    include: str | tuple[tuple[Path, str], ...]
    limit: tuple[int, int] | None


def tokens(text: str) -> list[tuple[str, str]]:
    """Cut a query into (kind, text).

    Raises
    ------
    IcatFault
        BAD_PARAMETER: something that is no word of the language, as an open quote.
    """
    found, position = [], 0
    while position < len(text):
        match = _TOKENS.match(text, position)
        if match is None:
            raise IcatFault(
                BAD_PARAMETER, f"Unexpected text at character {position} of the query: {text[position:][:40]}"
            )
        position = match.end()
        kind = match.lastgroup if match.lastgroup != "moment" else "date"
        if kind != "space":
            found.append((str(kind), match["moment"] if kind == "date" else match[0]))
    return found
