"""``octostream catalogue export``: runs as icatdata XML, for an ICAT that the service does not reach."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from ...sinks.catalogue.installed import require_icat
from ...sinks.catalogue.investigations import LOCAL
from ...sinks.catalogue.parameters import kinds_of
from ...stream.errors import OctostreamError, UsageError
from ...stream.report import RunReport
from ..catalogue_facts import facts_of_store
from ..catalogue_files import CatalogueFiles, catalogue_settings, open_files
from ..described import Techniques
from ..output import say_json
from ..settings import Settings
from .catalogue_options import Config, Data, Json

NAME = "export"


def command(
    runs: Annotated[list[str] | None, typer.Argument(metavar="[RUN...]", help="Ids; without them all runs.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to; standard output without it.")] = None,
    with_types: Annotated[
        bool, typer.Option("--with-types", help="What the runs refer to, too: for icatingest --duplicate IGNORE.")
    ] = False,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Write datasets, parameters, files and jobs of runs as icatdata XML, which python-icat's icatingest reads.

    Exit 1 where nothing is known of a run any more: it is left out, and named.
    """
    require_icat()
    from ...sinks.catalogue.export import Exported, icatdata  # late: status and retry work without python-icat
    from ...sinks.catalogue.inventory import take_inventory

    if as_json and out is None:
        raise UsageError("both the file and the JSON object would go to standard output", "give --out FILE")
    settings = Settings.load(config, {"data": data})
    where = catalogue_settings(settings)
    techniques = Techniques(settings.techniques, settings.technique)
    with open_files(settings) as files:
        exported: list[Exported] = []
        unknown: list[str] = []
        for report in _reports(files, runs or []):
            told = files.outbox.facts(report.id)
            if facts := told.at(report) if told else facts_of_store(files.data, techniques, report):
                exported.append(Exported(facts, report.status, take_inventory(Path(facts.store))))
            else:
                unknown.append(report.id)
    kinds = [kind for template in techniques.templates() for kind in kinds_of(template)] if with_types else None
    pieces = icatdata(where, exported, kinds)
    if out is None:
        for piece in pieces:
            sys.stdout.buffer.write(piece)
    else:
        _write(out, pieces)
    if as_json:
        say_json({"file": str(out), "runs": [run.facts.run for run in exported], "left_out": unknown})
    if unknown:
        what = f"left out, for the catalogue was never told of them and their stores are gone: {', '.join(unknown)}"
        raise OctostreamError(what, "all others are written")


def _reports(files: CatalogueFiles, runs: list[str]) -> Iterator[RunReport]:
    """Give the runs that are asked for, or all that belong into a catalogue, oldest first."""
    if not runs:
        found = [report for report in files.registry.all() if report.investigation != LOCAL]
        yield from reversed(found)
        return
    for run in runs:
        report = files.registry.get(run)
        if report is None:
            raise UsageError(f"there is no run {run!r} in {files.data}", "octostream catalogue status lists the runs")
        if report.investigation == LOCAL:
            raise UsageError(f"run {run} is of no investigation", "name runs that belong into the catalogue")
        yield report


def _write(out: Path, pieces: Iterator[bytes]) -> None:
    try:
        with out.open("xb") as file:
            try:
                file.writelines(pieces)
            except BaseException:  # half a file would be in the way of the next try
                out.unlink(missing_ok=True)
                raise
    except FileExistsError:
        raise UsageError(f"{out} exists", "nothing is overwritten: give another name") from None
    except OSError as error:
        raise OctostreamError(f"{out} cannot be written ({error.strerror})", "check folder and disk") from error
