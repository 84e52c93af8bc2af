"""``octostream catalogue check``: whether runs can be registered in ICAT, before the first one has to be."""

from __future__ import annotations

from typing import Annotated

import typer

from ... import __version__
from ...sinks.catalogue.installed import require_icat
from ...sinks.catalogue.settings import read_credentials
from ...stream.key_files import read_allowed
from ..catalogue_files import catalogue_settings
from ..described import Techniques
from ..output import say_json
from ..settings import Settings
from .catalogue_options import Config, Data, Json, plain_console

NAME = "check"


def command(
    create: Annotated[bool, typer.Option("--create", help="Create what is missing, where the account may.")] = False,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Connect, log in, and look at all that runs need in ICAT; nothing is left behind. Exit 0 only if all is well."""
    require_icat()
    from ...sinks.catalogue.checking import Finding, check  # late: status and retry work without python-icat
    from ...sinks.catalogue.lookup import Lookup
    from ...sinks.catalogue.needs import needs
    from ...sinks.catalogue.reaching import reached

    settings = Settings.load(config, {"data": data})
    where = catalogue_settings(settings)
    credentials = read_credentials(where)
    templates = Techniques(settings.techniques, settings.technique).templates()
    instruments = [permit.instrument for permit in read_allowed(settings.keys).permits]
    wanted = needs(where, __version__, templates, instruments)
    console, findings = plain_console(), []

    def say(finding: Finding) -> None:
        findings.append(finding)
        if not as_json:
            detail = f"  {finding.detail}" if finding.detail else ""
            console.print(f"{finding.state.ljust(9)}  {finding.what}{detail}", markup=False)

    with reached(where, credentials) as client:
        say(Finding(f"ICAT {client.apiversion} at {where.url}", "ok"))
        say(Finding(f"login as {credentials.username!r} by {where.authenticator!r}", "ok"))
        for finding in check(Lookup(client, where.facility), wanted, create=create, owners=bool(where.owner_command)):
            say(finding)
    bad = sum(not finding.good for finding in findings)
    if as_json:
        told = [{"what": f.what, "state": f.state, "detail": f.detail} for f in findings]
        say_json({"good": not bad, "findings": told})
    else:
        console.print("runs can be registered" if not bad else f"{bad} of {len(findings)} are not as they should be")
    if bad:
        raise typer.Exit(1)
