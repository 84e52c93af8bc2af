"""Templates that come with octostream, and those of a service: where they lie, and reading them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from .template import Field, Template, TemplateError, Term

#: Techniques that need no file.
BUILT_IN: Final = ("lightsheet", "lattice", "single-molecule", "flim", "free")
#: What any microscope asks; a base for others, and no technique by itself.
COMMON: Final = "common"
#: A technique that asks for nothing and takes everything.
FREE: Final = "free"
#: Bases of bases of a template.
MAX_BASES: Final = 8

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")
_KEYS = {"summary", "base", "open", "term", "field"}
_FIELD_KEYS = {"label", "type", "required", "many", "unit", "range", "choices", "help", "icat", "ome", "rembi"}


def technique_names(folder: Path | None = None) -> tuple[str, ...]:
    """Give the techniques that a run may name: the built-in ones, then those of a service's folder."""
    own = sorted(p.stem for p in folder.glob("*.toml")) if folder and folder.is_dir() else []
    return (*BUILT_IN, *(name for name in own if name not in BUILT_IN and name != COMMON and _NAME.fullmatch(name)))


def read_template(name: str, folder: Path | None = None) -> Template:
    """Read the template of a technique.

    Parameters
    ----------
    name : str
        Of a file ``NAME.toml`` in the folder, or of a built-in technique. A file goes before the built-in technique of
        the same name, and may have that as its base; a file ``common.toml`` changes what all built-in ones ask.
    folder : Path, optional
        Of a service's own templates; it need not exist.

    Raises
    ------
    TemplateError
        There is no such technique, or its file makes no sense.
    """
    if name not in technique_names(folder):
        known = ", ".join(technique_names(folder))
        raise TemplateError(f"there is no technique {name[:60]!a}", f"there are {known}")
    return _template(name, _gathered(name, folder))


def read_template_file(path: Path) -> Template:
    """Read a template where it lies, its bases beside it.

    Raises
    ------
    TemplateError
        It cannot be read, or makes no sense.
    """
    if path.suffix != ".toml" or not _NAME.fullmatch(path.stem) or path.stem == COMMON:
        raise TemplateError(f"{path} is no name of a template", "call it NAME.toml, with letters, digits, dashes")
    if not path.is_file():
        raise TemplateError(f"there is no template {path}", "octostream techniques list names the techniques")
    return read_template(path.stem, path.parent)


def _gathered(name: str, folder: Path | None, depth: int = MAX_BASES, *, shipped: bool = False) -> dict[str, Any]:
    """Give what a template says, and what its bases say where it does not; those of a shipped one may be own."""
    if not depth:
        raise TemplateError(f"template {name!r} has more than {MAX_BASES} bases, or itself", "name another base")
    said = _read(name, None if shipped else folder)
    base = said.pop("base", None)
    if base is None:
        return said
    itself = base == name  # as it comes with octostream
    if base not in (*technique_names(None if itself else folder), COMMON):
        raise TemplateError(f"template {name!r}: there is no base {base!a:.60}", "name a technique, or common")
    below = _gathered(base, folder, depth - 1, shipped=itself)
    own = said.get("field", {})
    fields = {
        key: {**below.get("field", {}).get(key, {}), **own.get(key, {})} for key in {**below.get("field", {}), **own}
    }
    return {**below, **said, "field": fields}


def _read(name: str, folder: Path | None) -> dict[str, Any]:
    own = folder / f"{name}.toml" if folder else None
    file = own if own and own.is_file() else files("octostream.sinks.catalogue") / "templates" / f"{name}.toml"
    try:
        said = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as cause:
        raise TemplateError(f"template {file} cannot be read ({cause.strerror})", "check the file") from cause
    except ValueError as cause:
        raise TemplateError(f"template {file} is not TOML ({cause})", "correct it at that place") from cause
    _known(name, "the template", said, _KEYS)
    for key, told in _table(name, "field", said.get("field", {})).items():
        _known(name, f"field {key!r}", _table(name, key, told), _FIELD_KEYS)
    return said


def _template(name: str, said: Mapping[str, Any]) -> Template:
    try:
        return Template(
            name=name,
            summary=_of(str, said["summary"]),
            terms=tuple(_term(_of(dict, told)) for told in _of(list, said.get("term", []))),
            fields=tuple(_field(key, told) for key, told in said.get("field", {}).items()),
            open=_of(bool, said.get("open", False)),
        )
    except TemplateError as cause:
        raise TemplateError(f"template {name!r}: {cause.what}", cause.remedy) from cause
    except KeyError as cause:
        raise TemplateError(f"template {name!r} lacks {cause.args[0]!r}", "say it in the template") from cause
    except (TypeError, ValueError) as cause:
        raise TemplateError(f"template {name!r}: {cause}", "correct the template") from cause


def _term(told: Mapping[str, Any]) -> Term:
    return Term(*(_of(str, told[key]) for key in ("id", "label", "iri")))


def _field(key: str, told: Mapping[str, Any]) -> Field:
    try:
        low, high = (float(_of((int, float), n)) for n in told.get("range", (0, 0)))
        return Field(
            name=key,
            label=_of(str, told["label"]),
            kind=_of(str, told["type"]),
            help=_of(str, told["help"]),
            parameter=_of(str, told.get("icat", key)),
            ome=_of(str, told["ome"]),
            rembi=_of(str, told["rembi"]),
            required=_of(bool, told.get("required", False)),
            many=_of(bool, told.get("many", False)),
            unit=_of(str, told.get("unit", "")),
            low=low,
            high=high,
            choices=tuple(_of(str, choice) for choice in _of(list, told.get("choices", []))),
        )
    except KeyError as cause:
        raise TemplateError(f"field {key!r} lacks {cause.args[0]!r}", "say it in the template") from cause
    except (TypeError, ValueError) as cause:
        raise TemplateError(f"field {key!r}: {cause}", "correct the template") from cause


def _of(kind: type | tuple[type, ...], value: Any) -> Any:
    """Give a value back if it is of a type, a truth value being no number."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{ascii(value)[:40]} is of the wrong type")
    return value


def _table(name: str, key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TemplateError(f"template {name!r}: {key!r} is no table", "correct the template")
    return value


def _known(name: str, where: str, said: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(said.keys() - known)
    if unknown:
        what = f"template {name!r}: {where} says {unknown[0]!r}"
        raise TemplateError(what, f"it may say {', '.join(sorted(known))}")
