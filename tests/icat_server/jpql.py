"""Reads queries: from text to what `syntax` says that a query consists of."""

from __future__ import annotations

from functools import lru_cache

from octostream.tests.icat_server.faults import BAD_PARAMETER, IcatFault
from octostream.tests.icat_server.syntax import (
    COMPARISONS,
    CONSTANTS,
    NOW,
    RESERVED,
    Call,
    Expression,
    Infix,
    Join,
    Literal,
    Parameter,
    Path,
    Query,
    Test,
    tokens,
)

_DEEPEST = 100


class _Parser:
    """Recursive descent, one method a rule of the grammar."""

    def __init__(self, text: str):
        self._tokens = tokens(text)
        self._at = 0
        self._depth = 0

    def _peek(self, ahead: int = 0) -> tuple[str, str]:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else ("end", "end of query")

    def _next(self) -> tuple[str, str]:
        token = self._peek()
        self._at += 1
        return token

    def _word(self, *words: str) -> bool:
        """Take the next words if they are these."""
        said = [self._peek(i) for i in range(len(words))]
        if all(kind in ("name", "sign") and text.upper() == w for (kind, text), w in zip(said, words, strict=True)):
            self._at += len(words)
            return True
        return False

    def _fail(self, expected: str) -> IcatFault:
        return IcatFault(BAD_PARAMETER, f"Expected {expected} in the query, found: {self._peek()[1][:60]}")

    def _need(self, *words: str) -> None:
        if not self._word(*words):
            raise self._fail(" ".join(words))

    def _name(self, what: str) -> str:
        kind, text = self._peek()
        if kind != "name" or text.upper() in RESERVED:
            raise self._fail(what)
        self._at += 1
        return text

    def query(self) -> Query:
        self._need("SELECT")
        distinct = self._word("DISTINCT")
        select = [self._expression()]
        while self._word(","):
            select.append(self._expression())
        self._need("FROM")
        entity = self._name("an entity")
        self._word("AS")
        alias = self._name("a name for the entity")
        joins = tuple(self._joins())
        where = self._expression() if self._word("WHERE") else None
        order = tuple(self._order()) if self._word("ORDER", "BY") else ()
        include, limit = (), None
        while self._peek()[0] != "end":
            if self._word("INCLUDE") and not include:
                include = self._include()
            elif self._word("LIMIT") and limit is None:
                limit = self._limit()
            else:
                raise self._fail("the end")
        return Query(tuple(select), distinct, entity, alias, joins, where, order, include, limit)

    def condition(self) -> Expression:
        """A condition alone."""
        found = self._expression()
        if self._peek()[0] != "end":
            raise self._fail("the end")
        return found

    def get(self) -> tuple[str, str, str | tuple[tuple[Path, str], ...]]:
        """``Entity [alias] [INCLUDE …]``, as the operation get has it."""
        entity = self._name("an entity")
        alias = self._name("a name") if self._peek()[0] == "name" and self._peek()[1].upper() != "INCLUDE" else ""
        include = self._include() if self._word("INCLUDE") else ()
        if self._peek()[0] != "end":
            raise self._fail("the end")
        return entity, alias, include

    def _joins(self) -> list[Join]:
        joins = []
        while True:
            if self._word("LEFT"):
                self._word("OUTER")
                left = True
                self._need("JOIN")
            elif self._word("INNER"):
                left = False
                self._need("JOIN")
            elif self._word("JOIN"):
                left = False
            else:
                return joins
            path = Path(tuple(self._name("a relation").split(".")))
            self._word("AS")
            joins.append(Join(path, self._name("a name for the relation"), left))

    def _order(self) -> list[tuple[Expression, bool]]:
        order = []
        while True:
            expression = self._sum()
            falling = self._word("DESC")
            if not falling:
                self._word("ASC")
            order.append((expression, falling))
            if not self._word(","):
                return order

    def _include(self) -> str | tuple[tuple[Path, str], ...]:
        if self._peek() == ("number", "1"):
            self._at += 1
            return "1"
        steps = []
        while True:
            path = Path(tuple(self._name("a relation").split(".")))
            self._word("AS")
            kind, text = self._peek()
            named = kind == "name" and text.upper() not in RESERVED
            steps.append((path, self._name("a name") if named else ""))
            if not self._word(","):
                return tuple(steps)

    def _limit(self) -> tuple[int, int]:
        numbers = [self._integer()]
        self._need(",")
        return numbers[0], self._integer()

    def _integer(self) -> int:
        kind, text = self._peek()
        if kind != "number" or not text.isdigit():
            raise self._fail("a whole number")
        self._at += 1
        return int(text)

    def _expression(self) -> Expression:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise IcatFault(BAD_PARAMETER, f"The query is nested more than {_DEEPEST} deep")
        left = self._conjunction()
        while self._word("OR"):
            left = Infix("OR", left, self._conjunction())
        self._depth -= 1
        return left

    def _conjunction(self) -> Expression:
        left = self._negation()
        while self._word("AND"):
            left = Infix("AND", left, self._negation())
        return left

    def _negation(self) -> Expression:
        negated = False
        while self._word("NOT"):
            negated = not negated
        test = self._predicate()
        return Test("NOT", (test,)) if negated else test

    def _predicate(self) -> Expression:
        left = self._sum()
        kind, text = self._peek()
        if kind == "sign" and text in COMPARISONS:
            self._at += 1
            return Infix("<>" if text == "!=" else text, left, self._sum())
        if self._word("IS"):
            negated = self._word("NOT")
            if self._word("EMPTY"):
                return Test("EMPTY", (left,), negated)
            self._need("NULL")
            return Test("NULL", (left,), negated)
        negated = self._word("NOT")
        if self._word("LIKE"):
            operands = [left, self._sum()]
            if self._word("ESCAPE"):
                operands.append(self._sum())
            return Test("LIKE", tuple(operands), negated)
        if self._word("BETWEEN"):
            low = self._sum()
            self._need("AND")
            return Test("BETWEEN", (left, low, self._sum()), negated)
        if self._word("IN"):
            self._need("(")
            items = [self._sum()]
            while self._word(","):
                items.append(self._sum())
            self._need(")")
            return Test("IN", (left, *items), negated)
        if negated:
            raise self._fail("LIKE, BETWEEN or IN")
        return left

    def _sum(self) -> Expression:
        left = self._product()
        while self._peek() in (("sign", "+"), ("sign", "-")):
            left = Infix(self._next()[1], left, self._product())
        return left

    def _product(self) -> Expression:
        left = self._operand()
        while self._peek() in (("sign", "*"), ("sign", "/")):
            left = Infix(self._next()[1], left, self._operand())
        return left

    def _operand(self) -> Expression:
        kind, text = self._next()
        if kind == "text":
            return Literal(text[1:-1].replace("''", "'"))
        if kind == "number":
            return Literal(int(text) if text.isdigit() else float(text))
        if kind == "date":
            return Literal(text, date=True)
        if kind == "parameter":
            return Parameter(text[1:])
        if (kind, text) == ("sign", "-"):
            return Infix("-", Literal(0), self._operand())
        if (kind, text) == ("sign", "("):
            inner = self._expression()
            self._need(")")
            return inner
        if kind == "name":
            return self._named(text)
        self._at -= 1
        raise self._fail("a value")

    def _named(self, text: str) -> Expression:
        upper = text.upper()
        if upper in CONSTANTS:
            return Literal(CONSTANTS[upper])
        if upper in NOW:
            return Parameter(upper)
        if self._peek() != ("sign", "("):
            if upper in RESERVED:
                self._at -= 1
                raise self._fail("a value")
            return Path(tuple(text.split(".")))
        self._at += 1
        distinct = self._word("DISTINCT")
        arguments = [self._expression()]
        while self._word(","):
            arguments.append(self._expression())
        self._need(")")
        return Call(upper, tuple(arguments), distinct)


@lru_cache(maxsize=1024)
def parse(text: str) -> Query:
    """Read a query.

    Raises
    ------
    IcatFault
        BAD_PARAMETER: it is no query; the message says where.
    """
    return _Parser(text).query()


def parse_condition(text: str) -> Expression:
    """Read a condition alone.

    Raises
    ------
    IcatFault
        BAD_PARAMETER: it cannot be read.
    """
    return _Parser(text).condition()


@lru_cache(maxsize=256)
def parse_get(text: str) -> tuple[str, str, str | tuple[tuple[Path, str], ...]]:
    """Read what the operation ``get`` is asked: entity, its name (may be empty), what is included.

    Raises
    ------
    IcatFault
        BAD_PARAMETER: it cannot be read.
    """
    return _Parser(text).get()
