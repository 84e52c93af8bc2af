"""Write the tables of docs/metadata.md anew from the code: ``.venv/bin/python docs/list_fields.py``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from octostream.sinks.catalogue.template import Field
from octostream.sinks.catalogue.template_file import BUILT_IN, read_template

PAGE = Path(__file__).parent / "metadata.md"
HEADING = ("field", "technique", "what it is", "what it may be", "ICAT", "OME", "REMBI")


def technique_rows() -> Iterable[tuple[str, ...]]:
    """Give a row a technique."""
    for template in map(read_template, BUILT_IN):
        terms = ", ".join(f"[{term.id}]({term.iri}) {term.label}" for term in template.terms)
        required = ", ".join(f"`{field.name}`" for field in template.fields if field.required)
        yield f"`{template.name}`", template.summary, required or "nothing", terms or "none"


def field_rows() -> Iterable[tuple[str, ...]]:
    """Give a row a field, with the techniques that have it."""
    asked: dict[Field, list[str]] = {}
    for template in map(read_template, BUILT_IN):
        for field in template.fields:
            asked.setdefault(field, []).append(template.name)
    imaging = [name for name in BUILT_IN if read_template(name).fields]
    for field, names in asked.items():
        whose = "all but free" if names == imaging else ", ".join(names)
        parameter = f"`{field.parameter}`" + (f", {field.unit}" if field.unit else "")
        yield f"`{field.name}`", whose, field.help, field.may_be, parameter, f"`{field.ome}`", field.rembi


def with_tables(text: str) -> str:
    """Give the page with the tables as they should be."""
    text = _put(text, "techniques", ("technique", "what it is", "required", "terms"), technique_rows())
    return _put(text, "fields", HEADING, field_rows())


def _put(text: str, name: str, heading: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    before, begin, rest = text.partition(f"<!-- {name}: made by docs/list_fields.py -->\n")
    _, end, after = rest.partition(f"<!-- end of {name} -->\n")
    if not (begin and end):
        raise ValueError(f"the page has no place for {name}")
    table = [heading, ("---",) * len(heading), *rows]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in table]
    return f"{before}{begin}\n{''.join(lines)}\n{end}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
