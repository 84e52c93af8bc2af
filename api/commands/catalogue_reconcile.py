"""``octostream catalogue reconcile``: the registry compared with ICAT, and what is wrong there told again."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Annotated

import typer

from ...sinks.catalogue.installed import require_icat
from ...sinks.catalogue.settings import read_credentials
from ...stream.clock import wall_ns
from ..catalogue_facts import facts_of_store
from ..catalogue_files import catalogue_settings, open_files
from ..described import Techniques
from ..output import say_json
from ..settings import Settings
from .catalogue_options import Config, Data, Json, plain_console

NAME = "reconcile"


def command(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Compare only; nothing is written.")] = False,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Compare every run with ICAT, and queue again what is missing or wrong there; exit 1 where a person is needed.

    Runs that the catalogue never heard of are queued, too: ICAT was set later, or the registry made anew.
    """
    require_icat()
    from ...sinks.catalogue.lookup import Lookup  # late: status and retry work without python-icat
    from ...sinks.catalogue.reaching import reached
    from ...sinks.catalogue.reconciling import Reconciled, Reconciliation

    settings = Settings.load(config, {"data": data})
    where = catalogue_settings(settings)
    credentials = read_credentials(where)
    techniques = Techniques(settings.techniques, settings.technique)
    console, done = plain_console(), list[Reconciled]()
    with open_files(settings) as files, reached(where, credentials) as client:
        lookup = Lookup(client, where.facility)
        facts_of = partial(facts_of_store, files.data, techniques)
        reconciliation = Reconciliation(files.registry, files.outbox, lookup, facts_of, where.raw_shards, wall_ns)
        for one in reconciliation.run(dry=dry_run):
            done.append(one)
            if not as_json and one.state != "as it should be":
                console.print(f"{one.state.ljust(16)} {one.run}  {one.name}  {'; '.join(one.why)}", markup=False)
    counts = Counter(one.state for one in done)
    if as_json:
        say_json({"dry_run": dry_run, "counts": dict(counts), "runs": [one.to_json() for one in done]})
    else:
        told = ", ".join(f"{count} {state}" for state, count in counts.most_common())
        console.print(
            f"{len(done)} run{'' if len(done) == 1 else 's'} in the catalogue's keeping" + (told and f": {told}")
        )
        if counts["told again"]:
            console.print("the service delivers them, as soon as it runs; see octostream catalogue status")
    if counts["for a person"] or counts["parked"]:
        raise typer.Exit(1)
