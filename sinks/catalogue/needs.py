"""All that ICAT must know before runs are registered: of octostream itself, of the techniques, of the instruments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .parameters import kinds_of
from .settings import CatalogueSettings
from .template import Template
from .vocabulary import Needed, instrument, needed


def needs(
    settings: CatalogueSettings, software: str, templates: Iterable[Template], instruments: Iterable[str] = ()
) -> Sequence[Needed]:
    """Give all that must be there, each once.

    Parameters
    ----------
    settings : CatalogueSettings
    software : str
        Version of octostream.
    templates : iterable of Template
        Of the techniques that runs may name.
    instruments : iterable of str
        Names of those that may record.
    """
    templates = list(templates)
    kinds = [kind for template in templates for kind in kinds_of(template)]
    terms = {template.terms[0].iri: template.terms[0].label for template in templates if template.terms}
    wanted = [*needed(settings, software, kinds, terms), *(instrument(name) for name in instruments)]
    return list({(thing.entity, *thing.key.items()): thing for thing in wanted}.values())
