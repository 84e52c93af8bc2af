"""What a run's metadata become in the catalogue: parameters with a name, units and a value."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from .checked_metadata import Value
from .template import OTHERS, Field, Template
from .vocabulary import NO_UNITS, ParameterKind


@dataclass(frozen=True, slots=True)
class ParameterValue:
    """A parameter of one dataset.

    Attributes
    ----------
    name, units : str
        Of its kind.
    value : float or str
        A number where the kind is ``NUMERIC``, a text where it is ``STRING``.
    """

    name: str
    units: str
    value: float | str


def kinds_of(template: Template) -> Sequence[ParameterKind]:
    """Give the parameters that runs of a technique may have."""
    kinds = [
        ParameterKind(f.parameter, f.unit or NO_UNITS, _type(f), f.help) for f in template.fields if f.in_parameter
    ]
    return [*kinds, ParameterKind(OTHERS, NO_UNITS, "STRING", "What no field of the technique asks for, as JSON")]


def parameters_of(template: Template, metadata: Mapping[str, Value]) -> Sequence[ParameterValue]:
    """Give the parameters of a run.

    Parameters
    ----------
    template : Template
        Of its technique.
    metadata : mapping
        As they were checked when the run opened. What the template has no place for, because it takes anything or was
        changed since, is gathered in the parameter ``metadata`` as JSON.
    """
    placed = {field.name: field for field in template.fields if _fits(field, metadata.get(field.name))}
    values = [
        ParameterValue(field.parameter, field.unit or NO_UNITS, _value(field, metadata[name]))
        for name, field in placed.items()
        if field.in_parameter
    ]
    others = {name: value for name, value in metadata.items() if name not in placed}
    if others:
        values.append(ParameterValue(OTHERS, NO_UNITS, json.dumps(others, ensure_ascii=False)))
    return values


def _fits(field: Field, value: Value | None) -> bool:
    if value is None:
        return False
    return _type(field) == "STRING" or not isinstance(value, str | bool)


def _type(field: Field) -> Literal["NUMERIC", "STRING"]:
    return "NUMERIC" if field.numeric and not field.many else "STRING"


def _value(field: Field, value: Value) -> float | str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return float(value) if _type(field) == "NUMERIC" else str(value)
