"""Write the tables of docs/icat.md anew from the code: ``.venv/bin/python docs/list_icat.py``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from octostream.sinks.catalogue.rights import FOR_OWNERS, RIGHTS, TO_CREATE
from octostream.sinks.catalogue.settings import CatalogueSettings
from octostream.sinks.catalogue.vocabulary import STANDARD

PAGE = Path(__file__).parent / "icat.md"
Row = Sequence[str]


def setting_rows() -> Iterable[Row]:
    """Give a row a setting."""
    for name, field in CatalogueSettings.model_fields.items():
        default = (
            "required" if field.is_required() else f"`{field.default}`" if field.default not in ("", ()) else "empty"
        )
        yield f"`{name}`", default, str(field.description)


def right_rows() -> Iterable[Row]:
    """Give a row an entity: always, for ``check --create``, for ``owner_command``."""
    for entity in dict.fromkeys([*RIGHTS, *TO_CREATE, *FOR_OWNERS]):
        yield f"`{entity}`", *(rights.get(entity, "") for rights in (RIGHTS, TO_CREATE, FOR_OWNERS))


def parameter_rows() -> Iterable[Row]:
    """Give a row a parameter."""
    for kind in STANDARD.values():
        yield f"`{kind.name}`", kind.units, kind.type, kind.help


TABLES = {
    "settings": (("name", "default", "what it is"), setting_rows),
    "rights": (("entity", "always", "for `check --create`", "for `owner_command`"), right_rows),
    "parameters": (("parameter", "units", "type", "what it is"), parameter_rows),
}


def with_tables(text: str) -> str:
    """Give the page with the tables as they should be."""
    for name, (heading, rows) in TABLES.items():
        before, begin, rest = text.partition(f"<!-- {name}: made by docs/list_icat.py -->\n")
        _, end, after = rest.partition(f"<!-- end of {name} -->\n")
        if not (begin and end):
            raise SystemExit(f"docs/icat.md has no place for {name}")
        lines = [heading, ["---"] * len(heading), *rows()]
        table = "".join("| " + " | ".join(cells) + " |\n" for cells in lines)
        text = f"{before}{begin}\n{table}\n{end}{after}"
    return text


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
