"""What ``--meta`` gives: single fields, and files of them."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeGuard

from ..stream.errors import UsageError

#: Whole numbers are smaller on the wire.
MAX_WHOLE = 2**63

_FIELD = re.compile(r"([^=/\\]{1,255})=(.*)", re.DOTALL)


def given_metadata(arguments: Iterable[str]) -> dict[str, str | float | int | bool]:
    """Put together what was given; later ones win.

    Parameters
    ----------
    arguments : iterable of str
        ``KEY=VALUE``, whose value stays text until the service knows what it should be; or a ``.toml`` or ``.json``
        file of such keys and values.

    Raises
    ------
    UsageError
        Naming the argument and what is wrong with it.
    """
    given: dict[str, str | float | int | bool] = {}
    for argument in arguments:
        if _is_broken(argument):
            raise UsageError(f"--meta {argument!a} is no text", "give it in the encoding of your terminal")
        field = _FIELD.fullmatch(argument)
        if field:
            given[field[1].strip()] = field[2]
        else:
            given |= {key: _scalar(argument, key, value) for key, value in _read(argument).items()}
    return given


def _is_broken(text: str) -> bool:
    """Tell whether a command line had bytes that are no characters, or a file half of one, as JSON can."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def _read(name: str) -> dict[str, Any]:
    path = Path(name).expanduser()
    kind = path.suffix.lower()
    if kind not in (".toml", ".json"):
        raise UsageError(f"--meta {name!r} is neither KEY=VALUE nor a .toml or .json file", "give one of these")
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text) if kind == ".toml" else json.loads(text)
    except OSError as cause:
        raise UsageError(f"metadata file {name!r} cannot be read ({cause.strerror})", "check its path") from cause
    except (ValueError, RecursionError) as cause:
        raise UsageError(f"metadata file {name!r} is not {kind[1:].upper()} ({cause})", "correct it there") from cause
    if not isinstance(data, dict):
        raise UsageError(f"metadata file {name!r} holds no fields", "write an object of keys and values")
    return data


def _scalar(file: str, key: str, value: Any) -> str | float | int | bool:
    """Give a value that a run can carry: a list of numbers or words, as people write it in a line."""
    if _is_broken(key):
        raise UsageError(f"metadata file {file!r}: the key {key!a} is no text", "correct it there")
    if isinstance(value, list) and value and all(_is_carried(v) for v in value):
        return ", ".join(str(v) for v in value)
    if _is_carried(value):
        return value
    shown = value if isinstance(value, int | float) else type(value).__name__
    if isinstance(value, str):
        shown = f"{value[:60]!a}, which is no text"
    what = f"metadata file {file!r}: {key!r} is {shown}"
    raise UsageError(what, "give text, a number, true or false, or a list of these")


def _is_carried(value: Any) -> TypeGuard[str | float | int | bool]:
    """Tell whether a message can carry it."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, str):
        return not _is_broken(value)
    return isinstance(value, int) and abs(value) < MAX_WHOLE
