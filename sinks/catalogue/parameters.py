"""What a run's metadata become in the catalogue: parameters with a name, units and a value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from .checked_metadata import Value
from .template import OTHERS, Field, Template, TemplateError
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


def check_alike(templates: Iterable[Template]) -> None:
    """See that all templates mean the same by a parameter, and by the name of a technique: ICAT has each once.

    Raises
    ------
    TemplateError
        Naming two that do not.
    """
    meanings: dict[tuple[str, ...], tuple[str, Template]] = {}
    for template in templates:
        for key, meaning in _meanings(template):
            known, other = meanings.setdefault(key, (meaning, template))
            if known != meaning:
                what = f"templates {other.name!r} and {template.name!r} disagree on {' '.join(key)}"
                raise TemplateError(f"{what}: {known}, {meaning}", "give one of them another name in ICAT")


def _meanings(template: Template) -> Iterator[tuple[tuple[str, ...], str]]:
    for kind in kinds_of(template):
        yield ("the parameter", repr(kind.name), f"in {kind.units}"), kind.type
    for term in template.terms[:1]:
        yield ("the technique", repr(term.label)), term.iri
        yield ("the technique", term.iri), repr(term.label)


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
