"""Values on the wire and in the store: text to Python, Python to text, by the type that the schema gives a field.

In the store a date is an integer of milliseconds since 1970 UTC, so that it can be compared and ordered.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from octostream.tests.icat_server.faults import BAD_PARAMETER, IcatFault
from octostream.tests.icat_server.schema import ENUMS

Value = str | int | float | bool | None
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_XS = {
    "String": "string",
    "Long": "long",
    "Integer": "int",
    "Double": "double",
    "Boolean": "boolean",
    "Date": "dateTime",
}


def xs_type(kind: str) -> str:
    """Give the type of the wire, with its prefix, for a Java type or enumeration."""
    return f"xs:{_XS[kind]}" if kind in _XS else f"tns:{kind[0].lower()}{kind[1:]}"


def milliseconds(text: str) -> int:
    """Read a date; without an offset it is UTC, as a server in UTC would take it.

    Raises
    ------
    IcatFault
        BAD_PARAMETER: it is no date.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise IcatFault(BAD_PARAMETER, f"{text!r} is not a date") from None
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MILLISECOND


def read(text: str, kind: str) -> Value:
    """Give the value that a text of the wire stands for.

    Raises
    ------
    IcatFault
        BAD_PARAMETER: the text does not fit the type.
    """
    if kind == "String":
        return text
    text = text.strip()
    if kind == "Date":
        return milliseconds(text)
    if kind == "Boolean" and text in ("true", "1", "false", "0"):
        return text in ("true", "1")
    if kind in ENUMS and text in ENUMS[kind]:
        return text
    try:
        if kind in ("Long", "Integer"):
            return int(text)
        if kind == "Double":
            return float({"INF": "inf", "-INF": "-inf"}.get(text, text))
    except ValueError:
        pass
    raise IcatFault(BAD_PARAMETER, f"{text!r} is not a {kind}")


def write(value: Value, kind: str) -> str:
    """Give the text of the wire for a stored value."""
    if kind == "Boolean":
        return "true" if value else "false"
    if kind == "Date":
        assert isinstance(value, int)
        return (_EPOCH + value * _MILLISECOND).isoformat(timespec="milliseconds")
    if kind == "Double":
        number = float(value)  # pyright: ignore[reportArgumentType]
        return repr(number) if math.isfinite(number) else {math.inf: "INF", -math.inf: "-INF"}.get(number, "NaN")
    return str(value)
