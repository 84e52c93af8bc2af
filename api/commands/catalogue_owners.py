"""``octostream catalogue owners``: the data of a run handed to the people of its investigation, now."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from ...sinks.catalogue.facts import RunFacts
from ...sinks.catalogue.installed import require_icat
from ...sinks.catalogue.settings import read_credentials
from ...stream.errors import OctostreamError, UsageError
from ..catalogue_facts import facts_of_store
from ..catalogue_files import CatalogueFiles, catalogue_settings, open_files
from ..described import Techniques
from ..output import say_json
from ..settings import Settings
from .catalogue_options import Config, Data, Json, plain_console

NAME = "owners"


def command(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id of a run.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the command; nothing is run.")] = False,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Run `owner_command` of the settings for a run, as the service does when it opens and when it is over."""
    require_icat()
    from ...sinks.catalogue.lookup import Lookup  # late: status and retry work without python-icat
    from ...sinks.catalogue.owner_command import owner_command
    from ...sinks.catalogue.owner_notes import OwnerNotes
    from ...sinks.catalogue.owners import run_owner_command, users_of
    from ...sinks.catalogue.reaching import reached

    settings = Settings.load(config, {"data": data})
    where = catalogue_settings(settings)
    if not where.owner_command:
        raise UsageError("no owner_command is set", "set it in the table [catalogue]; docs/icat.md has an example")
    credentials = read_credentials(where)
    with open_files(settings) as files:
        facts = _facts(files, run, Techniques(settings.techniques, settings.technique))
        with reached(where, credentials) as client:
            filled = owner_command(where.owner_command, facts, users_of(Lookup(client, where.facility), facts))
        why = ""
        if not dry_run:
            why = run_owner_command(filled, where.owner_s)
            OwnerNotes(files.registry.path).note(facts.run, why)
    if as_json:
        told = {"command": list(filled.arguments), "left_out": list(filled.left_out)}
        say_json({"run": facts.run, "dry_run": dry_run, **told, "why": why})
    elif dry_run:
        plain_console().print(shlex.join(filled.arguments) or "nothing to run: nobody is named", markup=False)
    if why:
        raise OctostreamError(why, "correct owner_command, or what it needs")


def _facts(files: CatalogueFiles, run: str, techniques: Techniques) -> RunFacts:
    """Give what the catalogue was told of a run, is to be told, or would be told by its store."""
    files.check_run(run)
    report = files.registry.get(run)
    if told := files.outbox.facts(run):
        return told.at(report) if report else told
    facts = facts_of_store(files.data, techniques, report) if report else None
    if facts is None:
        raise OctostreamError(f"run {run} is of no investigation in ICAT, or its store is gone", "there is no owner")
    return facts
