"""Techniques for people: every field with what it is and may be, as TOML that ``--meta`` takes; and for machines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from ..sinks.catalogue.template import Field, Template


def template_text(template: Template) -> str:
    """Give a file of metadata to fill in: what is required stands there empty, all else as comment.

    Parameters
    ----------
    template : Template

    Returns
    -------
    str
        TOML.
    """
    return "\n".join(_lines(template)) + "\n"


def template_facts(template: Template) -> dict[str, Any]:
    """Give a template as JSON types."""
    return {
        "name": template.name,
        "summary": template.summary,
        "terms": [asdict(term) for term in template.terms],
        "open": template.open,
        "fields": [_facts(field) for field in template.fields],
    }


def _lines(template: Template) -> Iterator[str]:
    yield f"# {template.name}: {template.summary}"
    yield from (f"# {term.id} {term.label}" for term in template.terms)
    yield f"# to be filled in, and given with: octostream acquire SOURCE --technique {template.name} --meta FILE"
    if template.open:
        yield "# what no field asks for is taken as it comes: KEY = VALUE"
    for field in template.fields:
        needed = "; required" if field.required else ""
        yield ""
        yield f"# {field.label}: {field.help}; {field.may_be}{needed}"
        yield f'{"" if field.required else "# "}{field.name} = ""'


def _facts(field: Field) -> dict[str, Any]:
    limits = [field.low, field.high] if field.numeric else None
    return {
        "name": field.name,
        "label": field.label,
        "type": field.kind,
        "required": field.required,
        "many": field.many,
        "unit": field.unit,
        "range": limits,
        "choices": list(field.choices),
        "help": field.help,
        "icat": field.parameter,
        "ome": field.ome,
        "rembi": field.rembi,
    }
