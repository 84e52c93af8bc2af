"""What the operator is asked of a run, by technique: frozen data, and what makes them sound."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, get_args

from ...stream.errors import UsageError
from .storable import java_length, unsendable
from .vocabulary import STANDARD

Kind = Literal["number", "whole", "text", "choice", "flag"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
#: Characters that ICAT stores in a text parameter.
MAX_TEXT: Final = 4000
#: Characters that it stores in the name of a sample, and of a parameter.
MAX_NAME: Final = 255
#: The parameter that holds, as JSON, what no field asked for.
OTHERS: Final = "metadata"
#: What a field says in place of a parameter whose value is the name of ICAT's own Sample.
SAMPLE_NAME: Final = "Sample.name"
#: The key that names the sample where no field asks for it.
SAMPLE: Final = "sample"

_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")


class TemplateError(UsageError):
    """A technique's template is missing or makes no sense."""


@dataclass(frozen=True, slots=True)
class Term:
    """A technique as an ontology names it.

    Attributes
    ----------
    id : str
        ``FBbi:00000369``, ``PaNET:PaNET01112``.
    label : str
        The ontology's own.
    iri : str
        Its address; a persistent identifier.
    """

    id: str
    label: str
    iri: str


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that the operator must or may say.

    Attributes
    ----------
    name : str
        Its key: ``detection_na``.
    label : str
        What it is called on screens.
    kind : str
        ``number``, ``whole`` (a whole number), ``text``, ``choice`` (one word of a vocabulary) or ``flag``.
    required : bool
        Whether a run is refused without it.
    many : bool
        Of numbers: several may be given, one a channel.
    unit : str
        Of numbers, as ICAT writes it; empty for those that have none.
    low, high : float
        Of numbers: least and greatest value that makes sense, inclusive.
    choices : tuple of str
        The vocabulary of a ``choice``.
    help : str
        One line.
    parameter : str
        Name of the ICAT parameter; ``Sample.name`` where ICAT has a place of its own for it.
    ome : str
        Where the OME data model has it.
    rembi : str
        Component and term of REMBI.
    """

    name: str
    label: str
    kind: Kind
    help: str
    parameter: str
    ome: str
    rembi: str
    required: bool = False
    many: bool = False
    unit: str = ""
    low: float = 0.0
    high: float = 0.0
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no value could satisfy, and what no catalogue could hold."""
        for wrong, what in (
            (not _NAME.fullmatch(self.name), "its name is not 1 to 60 small letters, digits and underscores"),
            (self.kind not in KINDS, f"its type is none of {', '.join(KINDS)}"),
            (not (self.label and self.help and self.ome and self.rembi), "it lacks its label, help, ome or rembi"),
            (not 0 < java_length(self.parameter) <= MAX_NAME, f"its icat has not 1 to {MAX_NAME} characters"),
            (self.parameter in (OTHERS, *STANDARD), f"its icat {self.parameter!r} is octostream's own"),
            (any(map(unsendable, (self.parameter, self.unit, *self.choices))), "no XML message can carry it"),
            (self.in_parameter and "." in self.parameter, f"its icat has a dot, and is not {SAMPLE_NAME}"),
            (not self.in_parameter and self.kind not in ("text", "choice"), f"{SAMPLE_NAME} is a text or a choice"),
            (self.numeric and not self.low < self.high, "it is a number and has no range [least, greatest]"),
            (
                not self.numeric and (self.low or self.high or self.unit or self.many),
                "only numbers have unit, range, many",
            ),
            ((self.kind == "choice") != bool(self.choices), "choices belong to the type choice, and it needs some"),
            (len({c.casefold() for c in self.choices}) < len(self.choices), "a choice is there twice"),
        ):
            if wrong:
                raise TemplateError(f"field {self.name!r}: {what}", "correct the template")

    @property
    def numeric(self) -> bool:
        """Whether its values are numbers."""
        return self.kind in ("number", "whole")

    @property
    def in_parameter(self) -> bool:
        """Whether ICAT keeps it as a parameter of the dataset, and not in a place of its own."""
        return self.parameter != SAMPLE_NAME

    @property
    def longest(self) -> int:
        """Most characters that a text may have."""
        return MAX_TEXT if self.in_parameter else MAX_NAME

    @property
    def may_be(self) -> str:
        """What its values may be, in words."""
        match self.kind:
            case "number" | "whole":
                sort = "whole number" if self.kind == "whole" else "number"
                unit = f" {self.unit}" if self.unit else ""
                several = ", or several, one a channel" if self.many else ""
                return f"{sort}, {self.low:g} to {self.high:g}{unit}{several}"
            case "choice":
                return "one of: " + ", ".join(self.choices)
            case "flag":
                return "true or false"
            case "text":
                return f"text of at most {self.longest} characters"


@dataclass(frozen=True)
class Template:
    """What is asked of the runs of one technique.

    Attributes
    ----------
    name : str
        ``lightsheet``.
    summary : str
        What the technique is, one line.
    terms : tuple of Term
        Its names in ontologies, the most exact first; may be empty.
    fields : tuple of Field
        In the order in which people are asked.
    open : bool
        Whether anything beside the fields may be given, too.
    """

    name: str
    summary: str
    terms: tuple[Term, ...] = ()
    fields: tuple[Field, ...] = ()
    open: bool = False

    def __post_init__(self) -> None:
        """Refuse fields that the catalogue could not keep apart."""
        for what in ("name", "parameter"):
            told = [getattr(f, what) for f in self.fields]
            twice = next((name for name in told if told.count(name) > 1), None)
            if twice is not None:
                raise TemplateError(f"template {self.name!r} has the {what} {twice!r} twice", "give each field its own")

    @cached_property
    def _by_name(self) -> dict[str, Field]:
        return {field.name: field for field in self.fields}

    @cached_property
    def sample_key(self) -> str:
        """Key of what names the sample; empty where a field takes that key for something else."""
        named = next((field.name for field in self.fields if not field.in_parameter), "")
        return named or ("" if SAMPLE in self._by_name else SAMPLE)

    def field(self, name: str) -> Field | None:
        """Give a field; None for an unknown one."""
        return self._by_name.get(name)
