"""How runs are described: the techniques of a service, and what their templates make of an operator's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..sinks.catalogue.checked_metadata import Value, check_metadata
from ..sinks.catalogue.facts import Described
from ..sinks.catalogue.parameters import check_alike, parameters_of
from ..sinks.catalogue.template import Template, TemplateError
from ..sinks.catalogue.template_file import FREE, read_template, technique_names
from ..stream.model import Run


@dataclass(frozen=True)
class Techniques:
    """The techniques that runs of a service may name.

    Attributes
    ----------
    folder : Path or None
        Of its own templates; it need not exist.
    default : str
        Technique of a run that names none.
    """

    folder: Path | None = None
    default: str = FREE

    def check(self) -> None:
        """Read every template, so that a wrong one stops the service and not the first run.

        Raises
        ------
        TemplateError
            As `templates`.
        """
        self.templates()

    def templates(self) -> Sequence[Template]:
        """Read the templates of all techniques.

        Raises
        ------
        TemplateError
            One makes no sense, two contradict each other, or the default is none of them.
        """
        read_template(self.default, self.folder)
        templates = [read_template(name, self.folder) for name in technique_names(self.folder)]
        check_alike(templates)
        return templates

    def describe(self, technique: str, metadata: Mapping[str, Value]) -> tuple[str, dict[str, Value]]:
        """Give the technique of a run, and its metadata as the technique wants them.

        Parameters
        ----------
        technique : str
            As the run names it; empty for the default.
        metadata : mapping
            What the operator gave.

        Raises
        ------
        TemplateError
            There is no such technique.
        MetadataError
            The metadata do not fit it.
        """
        template = read_template(technique or self.default, self.folder)
        return template.name, check_metadata(template, metadata)

    def for_catalogue(self, run: Run) -> Described:
        """Give what the metadata of a run mean to a catalogue.

        A template that was taken away since the run opened costs the meaning of its fields, never the run.
        """
        try:
            template = read_template(run.technique or self.default, self.folder)
        except TemplateError:
            template = read_template(FREE, None)
        term = template.terms[0] if template.terms else None
        return Described(
            technique=term.label if term else "",
            technique_pid=term.iri if term else "",
            sample=str(run.plan.metadata.get(template.sample_key, "")),
            parameters=tuple((p.name, p.units, p.value) for p in parameters_of(template, run.plan.metadata)),
        )
