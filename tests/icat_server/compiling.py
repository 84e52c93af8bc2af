"""A query as SQL: every name is looked up in the schema, every value becomes a bound parameter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from octostream.tests.icat_server.faults import BAD_PARAMETER, NOT_IMPLEMENTED, IcatFault
from octostream.tests.icat_server.schema import ENUMS, MANY, ONE, SCHEMA, Entity
from octostream.tests.icat_server.store import quoted
from octostream.tests.icat_server.syntax import (
    AGGREGATES,
    NOW,
    Call,
    Expression,
    Infix,
    Literal,
    Parameter,
    Path,
    Query,
    Test,
)
from octostream.tests.icat_server.values import Value, milliseconds

#: Functions of one row: what they are in the store, how many arguments, what they give ("" as the argument).
FUNCTIONS = {
    "UPPER": ("upper", (1,), "String"),
    "LOWER": ("lower", (1,), "String"),
    "TRIM": ("trim", (1,), "String"),
    "CONCAT": ("join_texts", (2,), "String"),
    "SUBSTRING": ("substr", (2, 3), "String"),
    "LENGTH": ("length", (1,), "Long"),
    "LOCATE": ("locate", (2,), "Long"),
    "ABS": ("abs", (1,), ""),
    "MOD": ("remainder", (2,), "Long"),
    "SQRT": ("square_root", (1,), "Double"),
}
#: Gives the restriction on an entity's ids: SQL of allowed ids with its values, or nothing when all are allowed.
Restrict = Callable[[Entity], "Sql | None"]


@dataclass(frozen=True)
class Sql:
    """A piece of SQL, the values bound in it, and the type of what it gives."""

    text: str
    values: tuple[Value, ...] = ()
    type: str = ""


@dataclass(frozen=True)
class Compiled:
    """A query ready to run. ``columns`` has, for each selected thing, an entity or the type of a value."""

    sql: Sql
    columns: tuple[Entity | str, ...]


@dataclass
class _Compiler:
    """Names of a query and the joins that they need."""

    user: str
    now_ms: int
    names: dict[str, tuple[str, Entity]] = field(default_factory=dict)
    tables: list[str] = field(default_factory=list)
    implied: dict[tuple[str, str], tuple[str, Entity]] = field(default_factory=dict)

    # --- names ---------------------------------------------------------------------------------------------------

    def table(self, name: str, entity: Entity) -> str:
        if name in self.names:
            raise IcatFault(BAD_PARAMETER, f"{name} is used twice as a name in the query")
        alias = f"t{len(self.tables)}"
        self.names[name] = (alias, entity)
        return alias

    def join(self, way: Path, name: str, left: bool) -> None:
        alias, entity = self.owner(way)
        relation = _field(entity, way.parts[-1])
        if relation.relation not in (ONE, MANY):
            raise IcatFault(BAD_PARAMETER, f"{'.'.join(way.parts)} is no relation")
        other = SCHEMA[relation.type]
        there = self.table(name, other)
        self.tables.append(_join("LEFT JOIN" if left else "JOIN", alias, relation.name, there, other, relation))

    def owner(self, way: Path) -> tuple[str, Entity]:
        """Give the table that the last name of a way stands in, through joins that the way implies."""
        first = way.parts[0]
        if first not in self.names:
            raise IcatFault(BAD_PARAMETER, f"{first} is not the name of anything in the query")
        here = self.names[first]
        for part in way.parts[1:-1]:
            here = self.step(here, part)
        return here

    def step(self, here: tuple[str, Entity], name: str) -> tuple[str, Entity]:
        """Follow a many-to-one relation; the same one is joined once."""
        alias, entity = here
        relation = _field(entity, name)
        if relation.relation != ONE:
            raise IcatFault(BAD_PARAMETER, f"{entity.name}.{name} cannot be followed in a path, only joined")
        if (alias, name) not in self.implied:
            other = SCHEMA[relation.type]
            there = f"t{len(self.tables)}"
            self.tables.append(_join("JOIN", alias, name, there, other, relation))
            self.implied[alias, name] = (there, other)
        return self.implied[alias, name]

    def thing(self, expression: Expression) -> tuple[str, Entity] | None:
        """Give the table of an expression that stands for an object, nothing for a value."""
        if not isinstance(expression, Path):
            return None
        if len(expression.parts) == 1:
            return self.owner(expression)
        here = self.owner(expression)
        return self.step(here, expression.parts[-1]) if _field(here[1], expression.parts[-1]).relation == ONE else None

    # --- values --------------------------------------------------------------------------------------------------

    def path(self, way: Path) -> Sql:
        if way.parts[0] not in self.names and len(way.parts) > 1 and way.parts[-2] in ENUMS:
            return Sql("?", (way.parts[-1],), way.parts[-2])
        if len(way.parts) == 1:
            return Sql(f'{self.owner(way)[0]}."id"', (), "Long")
        if way.parts[-1] == "id" and len(way.parts) > 2:
            alias, entity = self.owner(Path(way.parts[:-1]))
            if (relation := _field(entity, way.parts[-2])).relation == ONE:
                return Sql(f'{alias}."{relation.name}"', (), "Long")
        alias, entity = self.owner(way)
        found = _field(entity, way.parts[-1])
        if found.relation == MANY:
            raise IcatFault(BAD_PARAMETER, f"{'.'.join(way.parts)} stands for many objects, not for a value")
        return Sql(f'{alias}."{found.name}"', (), "Long" if found.relation == ONE else found.type)

    def value(self, expression: Expression, kind: str = "") -> Sql:
        """Give an expression; a constant takes the type of what it is compared with."""
        if isinstance(expression, Path):
            return self.path(expression)
        if isinstance(expression, Literal):
            return _literal(expression, kind)
        if isinstance(expression, Parameter):
            return self.parameter(expression.name)
        if isinstance(expression, Call):
            return self.call(expression)
        if isinstance(expression, Infix):
            return self.infix(expression)
        return self.test(expression)

    def parameter(self, name: str) -> Sql:
        if name == "user":
            return Sql("?", (self.user,), "String")
        if name in NOW:
            return Sql("?", (self.now_ms,), "Date")
        raise IcatFault(BAD_PARAMETER, f":{name} is no parameter; there is :user")

    def call(self, call: Call) -> Sql:
        if call.name in AGGREGATES:
            return self.aggregate(call)
        if call.name not in FUNCTIONS or call.distinct:
            raise IcatFault(NOT_IMPLEMENTED, f"The stand-in does not know the function {call.name}")
        name, counts, kind = FUNCTIONS[call.name]
        if len(call.arguments) not in counts:
            raise IcatFault(BAD_PARAMETER, f"{call.name} takes {counts[0]} arguments, not {len(call.arguments)}")
        arguments = [self.value(argument) for argument in call.arguments]
        values = tuple(v for a in arguments for v in a.values)
        return Sql(f"{name}({', '.join(a.text for a in arguments)})", values, kind or arguments[0].type)

    def aggregate(self, call: Call) -> Sql:
        if len(call.arguments) != 1:
            raise IcatFault(BAD_PARAMETER, f"{call.name} takes one argument")
        inner = self.value(call.arguments[0])
        kind = {"COUNT": "Long", "AVG": "Double"}.get(call.name, inner.type)
        return Sql(f"{call.name}({'DISTINCT ' if call.distinct else ''}{inner.text})", inner.values, kind)

    def infix(self, infix: Infix) -> Sql:
        if infix.sign in ("AND", "OR"):
            left, right = self.value(infix.left), self.value(infix.right)
            return Sql(f"({left.text} {infix.sign} {right.text})", left.values + right.values, "Boolean")
        left = self.value(infix.left)
        right = self.value(infix.right, left.type)
        if isinstance(infix.left, Literal):
            left = self.value(infix.left, right.type)
        kind = left.type if infix.sign in "+-*/" else "Boolean"
        return Sql(f"({left.text} {infix.sign} {right.text})", left.values + right.values, kind)

    def test(self, test: Test) -> Sql:
        no = "NOT " if test.negated else ""
        if test.kind == "EMPTY":
            return self.empty(test, no)
        first = self.value(test.operands[0])
        if test.kind == "NOT":
            return Sql(f"(NOT {first.text})", first.values, "Boolean")
        rest = [self.value(operand, first.type) for operand in test.operands[1:]]
        values = first.values + tuple(v for sql in rest for v in sql.values)
        texts = [sql.text for sql in rest]
        if test.kind == "NULL":
            text = f"{first.text} IS {no}NULL"
        elif test.kind == "LIKE":
            text = f"{first.text} {no}LIKE {' ESCAPE '.join(texts)}"
        elif test.kind == "BETWEEN":
            text = f"{first.text} {no}BETWEEN {texts[0]} AND {texts[1]}"
        else:
            text = f"{first.text} {no}IN ({', '.join(texts)})"
        return Sql(f"({text})", values, "Boolean")

    def empty(self, test: Test, no: str) -> Sql:
        way = test.operands[0]
        if not isinstance(way, Path) or len(way.parts) < 2:
            raise IcatFault(BAD_PARAMETER, "IS EMPTY needs a relation to many")
        alias, entity = self.owner(way)
        many = _field(entity, way.parts[-1])
        if many.relation != MANY:
            raise IcatFault(BAD_PARAMETER, f"{'.'.join(way.parts)} does not stand for many objects")
        inner = f'SELECT 1 FROM "{many.type}" AS e WHERE e."{many.inverse}" = {alias}."id"'
        return Sql(f"({'' if no else 'NOT '}EXISTS ({inner}))", (), "Boolean")


def _field(entity: Entity, name: str):
    if name not in entity.fields:
        raise IcatFault(BAD_PARAMETER, f"{entity.name} has no field {name}")
    return entity.fields[name]


def _join(how: str, alias: str, name: str, there: str, other: Entity, relation) -> str:
    on = (
        f'{there}."id" = {alias}."{name}"'
        if relation.relation == ONE
        else f'{there}."{relation.inverse}" = {alias}."id"'
    )
    return f'{how} "{other.name}" AS {there} ON {on}'


def _literal(literal: Literal, kind: str) -> Sql:
    value = literal.value
    if isinstance(value, str) and (literal.date or kind == "Date"):
        return Sql("?", (milliseconds(value),), "Date")
    if value is None:
        return Sql("NULL", (), kind)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise IcatFault(BAD_PARAMETER, f"{value} is too large a number")
    said = {bool: "Boolean", int: "Long", float: "Double", str: "String"}[type(value)]
    return Sql("?", (value,), said)


def _start(query: Query, user: str, now_ms: int) -> _Compiler:
    if query.entity not in SCHEMA:
        raise IcatFault(BAD_PARAMETER, f"{query.entity} is not an entity")
    compiler = _Compiler(user, now_ms)
    entity = SCHEMA[query.entity]
    compiler.tables.append(f'"{entity.name}" AS {compiler.table(query.alias, entity)}')
    for join in query.joins:
        compiler.join(join.path, join.alias, join.left)
    return compiler


def ids_of(query: Query, user: str, now_ms: int) -> Sql:
    """Compile a rule: the ids that its query gives for a user."""
    compiler = _start(query, user, now_ms)
    where = compiler.value(query.where) if query.where else Sql("1")
    alias = compiler.names[query.alias][0]
    return Sql(f'SELECT {alias}."id" FROM {" ".join(compiler.tables)} WHERE {where.text}', where.values)


def compile_query(query: Query, user: str, now_ms: int, restrict: Restrict, at_most: int = -1) -> Compiled:
    """Compile a search for at most so many rows.

    Raises
    ------
    IcatFault
        BAD_PARAMETER: a name that the schema or the query does not have, or one used as what it is not.
    """
    compiler = _start(query, user, now_ms)
    columns: list[Entity | str] = []
    chosen: list[Sql] = []
    shown = {compiler.names[query.alias][0]: SCHEMA[query.entity]}
    for expression in query.select:
        if thing := compiler.thing(expression):
            shown[thing[0]] = thing[1]
            columns.append(thing[1])
            chosen.append(Sql(quoted(thing[1], thing[0])))
        else:
            columns.append((value := compiler.value(expression)).type)
            chosen.append(value)
    conditions = [compiler.value(query.where)] if query.where else []
    for alias, entity in shown.items():
        if allowed := restrict(entity):
            conditions.append(Sql(f'({alias}."id" IS NULL OR {alias}."id" IN ({allowed.text}))', allowed.values))
    order = [(compiler.value(expression), falling) for expression, falling in query.order]
    parts = [f"SELECT {'DISTINCT ' if query.distinct else ''}{', '.join(sql.text for sql in chosen)}"]
    parts.append(f"FROM {' '.join(compiler.tables)}")
    if conditions:
        parts.append(f"WHERE {' AND '.join(sql.text for sql in conditions)}")
    if order:
        parts.append(f"ORDER BY {', '.join(sql.text + (' DESC' if falling else '') for sql, falling in order)}")
    skip, count = query.limit or (0, at_most)
    parts.append(f"LIMIT {count if at_most < 0 else min(count, at_most)} OFFSET {skip}")
    bound = [*chosen, *conditions, *(sql for sql, _ in order)]
    return Compiled(Sql(" ".join(parts), tuple(v for sql in bound for v in sql.values)), tuple(columns))
