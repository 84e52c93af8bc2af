"""What an operator said of a run, held against the template of its technique."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

from ...stream.errors import UsageError
from .storable import java_length, unsendable
from .template import MAX_NAME, MAX_TEXT, Field, Template

Value = str | float | int | bool
#: Whole numbers up to here are exact in ICAT, which keeps them in double precision.
MAX_WHOLE: Final = 2**53

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_TRUTH = {"true": True, "yes": True, "false": False, "no": False}


class MetadataError(UsageError):
    """What was said of a run does not fit its technique."""


def check_metadata(template: Template, metadata: Mapping[str, Value]) -> dict[str, Value]:
    """Give metadata as the template wants them: numbers as numbers, words as its vocabulary writes them.

    Parameters
    ----------
    template : Template
    metadata : mapping
        What was given; numbers and truth values may be texts, as a command line gives them. An empty text is nothing.

    Returns
    -------
    dict
        In the order of the template, then what it does not know, by name.

    Raises
    ------
    MetadataError
        Naming the field, what is wrong with it and what may be given.
    """
    given = {name.strip(): value for name, value in metadata.items() if not _is_nothing(value)}
    others = {name: given[name] for name in sorted(given) if template.field(name) is None}
    if others and not template.open:
        raise _unknown(template, next(iter(others)))
    lacking = [field for field in template.fields if field.required and field.name not in given]
    if lacking:
        names = ", ".join(f"{field.name!r} ({field.help})" for field in lacking)
        how = " ".join(f"--meta {field.name}=…" for field in lacking)
        raise MetadataError(f"technique {template.name!r} needs the metadata {names}", f"give {how}")
    known = {field.name: _checked(field, given[field.name]) for field in template.fields if field.name in given}
    return known | _checked_others(others, template.sample_key)


def _is_nothing(value: Value) -> bool:
    return isinstance(value, str) and not value.strip()


def _unknown(template: Template, name: str) -> MetadataError:
    near = get_close_matches(name.lower(), [field.name for field in template.fields], 3, 0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return MetadataError(
        f"technique {template.name!r} has no metadata field {_shown(name)}",
        f"{hint}octostream techniques show {template.name} lists its fields",
    )


def _checked(field: Field, value: Value) -> Value:
    match field.kind:
        case "number" | "whole":
            return _checked_number(field, value)
        case "choice":
            found = [c for c in field.choices if isinstance(value, str) and c.casefold() == value.strip().casefold()]
            if not found:
                raise _wrong(field, value, f"is none of {', '.join(field.choices)}", "give one of these")
            return found[0]
        case "flag":
            truth = _TRUTH.get(value.strip().lower()) if isinstance(value, str) else value
            if not isinstance(truth, bool):
                raise _wrong(field, value, "is neither true nor false", "give true or false")
            return truth
        case "text":
            if isinstance(value, bool):
                raise _wrong(field, value, "is no text", "put it in words")
            return _checked_text(f"field {field.name!r}", str(value), field.longest)


def _checked_number(field: Field, value: Value) -> Value:
    try:
        numbers = [_number(part) for part in (value.split(",") if isinstance(value, str) else [value])]
    except ValueError:
        raise _wrong(field, value, "is no number", f"give a {field.may_be}, without its unit") from None
    if len(numbers) > 1 and not field.many:
        raise _wrong(field, value, "is more than one number", f"give one {field.may_be}, with a decimal point")
    for number in numbers:
        if not field.low <= number <= field.high:
            raise _wrong(field, number, "is out of range", f"give a {field.may_be}")
        if field.kind == "whole" and not (number.is_integer() and abs(number) <= MAX_WHOLE):
            raise _wrong(field, number, "is no whole number", f"give a {field.may_be}")
    if field.many:
        return _checked_text(f"field {field.name!r}", ", ".join(map(_plain, numbers)), field.longest)
    return int(numbers[0]) if field.kind == "whole" else numbers[0]


def _number(value: Value) -> float:
    if isinstance(value, bool) or (isinstance(value, str) and not _NUMBER.fullmatch(value.strip())):
        raise ValueError(value)
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(value) from None
    if not math.isfinite(number):
        raise ValueError(value)
    return number


def _plain(number: float) -> str:
    return str(int(number)) if number.is_integer() and abs(number) <= MAX_WHOLE else repr(number)


def _checked_text(what: str, text: str, longest: int) -> str:
    text = text.strip()
    control = _CONTROL.search(text)
    if control:
        raise MetadataError(f"{what} has the control character {control[0]!a}", "leave it out")
    if character := unsendable(text):
        raise MetadataError(f"{what} has {character!a}, which stands for no character", "leave it out")
    if (length := java_length(text)) > longest:
        raise MetadataError(f"{what} has {length} characters", f"give {longest} at most; emoji count twice")
    return text


def _checked_others(others: Mapping[str, Value], sample: str) -> dict[str, Value]:
    """Check what no field asked for: it must fit, all together, into one parameter, and that of a sample be a name."""
    checked: dict[str, Value] = {}
    for name, value in others.items():
        if not _checked_text("the name of a metadata field", name, MAX_NAME):
            raise MetadataError("a metadata field has no name", "give KEY=VALUE")
        if isinstance(value, str):
            value = _checked_text(f"field {_shown(name)}", value, MAX_NAME if name == sample else MAX_TEXT)
        elif isinstance(value, float) and not math.isfinite(value):
            raise MetadataError(f"field {_shown(name)}: {value} is no number", "leave it out")
        checked[name] = value
    size = java_length(json.dumps(checked, ensure_ascii=False))
    if size > MAX_TEXT:
        raise MetadataError(f"the metadata have {size} characters as JSON", f"give {MAX_TEXT} at most")
    return checked


def _wrong(field: Field, value: Value, what: str, remedy: str) -> MetadataError:
    return MetadataError(f"field {field.name!r}: {_shown(value)} {what}", remedy)


def _shown(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return _plain(value)
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
