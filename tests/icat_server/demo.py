"""The demonstration with ICAT: ``make demo-icat``. The stand-in takes the place of a facility's server.

It starts the stand-in with its small facility, lets ``octostream catalogue check --create`` make it ready, runs
``octostream demo`` under an investigation of it, and prints what unmodified python-icat finds there. All that it starts
ends with it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from octostream.api.child import die_with_parent
from octostream.sinks.catalogue.settings import PASSWORD_VARIABLE, USERNAME_VARIABLE
from octostream.tests.icat_server.seed import FACILITY, INSTRUMENT, PASSWORDS, PROPOSAL

VISIT = "1"
ACCOUNT, READER = "ingester", "alice"
_OCTOSTREAM = [sys.executable, "-m", "octostream"]


@contextmanager
def stand_in() -> Iterator[str]:
    """Start the stand-in; gives its address."""
    command = [sys.executable, "-m", "octostream.tests.icat_server", "--seed"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        if not url:
            raise SystemExit("the stand-in for ICAT did not start")
        yield url
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def settings(url: str) -> str:
    """Give the settings of a service before the stand-in."""
    return (
        f'[catalogue]\nurl = "{url}"\nfacility = "{FACILITY}"\nauthenticator = "simple"\ninstrument = "{INSTRUMENT}"\n'
    )


def found(url: str) -> Iterator[str]:
    """Give lines about the datasets that a user of the investigation finds, by python-icat."""
    import icat

    client = icat.Client(url, cache=None)
    client.autoLogout = False
    client.login("simple", {"username": READER, "password": PASSWORDS[READER]})
    for dataset in client.search(
        "SELECT o FROM Dataset o ORDER BY o.id INCLUDE o.investigation, o.type, o.datafiles, o.parameters AS p, p.type,"
        " o.datasetInstruments AS i, i.instrument, o.datasetTechniques AS t, t.technique"
    ):
        yield from _lines(dataset)


def _lines(dataset: Any) -> Iterator[str]:
    where = f"{dataset.investigation.name}, visit {dataset.investigation.visitId}"
    yield f"Dataset {dataset.id}: {dataset.name} ({dataset.type.name}) of {where}"
    for name in ("complete", "startDate", "endDate", "location", "fileSize", "fileCount", "description"):
        yield f"  {name:<20} {getattr(dataset, name)}"
    for link in dataset.datasetInstruments:
        yield f"  {'instrument':<20} {link.instrument.name}"
    for link in dataset.datasetTechniques:
        yield f"  {'technique':<20} {link.technique.name} ({link.technique.pid})"
    for file in dataset.datafiles:
        yield f"  {'datafile':<20} {file.name}, {file.fileSize} bytes, {file.location}"
    for parameter in sorted(dataset.parameters, key=lambda p: p.type.name):
        value = parameter.stringValue if parameter.numericValue is None else f"{parameter.numericValue:g}"
        units = "" if parameter.type.units == "N/A" else f" {parameter.type.units}"
        yield f"  {parameter.type.name:<20} {value}{units}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; gives 0 only when the run is complete in ICAT, too."""
    parser = argparse.ArgumentParser(prog="make demo-icat", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("octostream-data"), help="directory of the stores")
    parser.add_argument("--seconds", type=float, default=20.0, help="about how long to record")
    said = parser.parse_args(arguments)
    environment = {**os.environ, USERNAME_VARIABLE: ACCOUNT, PASSWORD_VARIABLE: PASSWORDS[ACCOUNT]}
    config = said.data / ".octostream" / "demo-icat.toml"
    config.parent.mkdir(parents=True, exist_ok=True)
    common = ["--data", str(said.data), "--config", str(config)]
    named = ["--investigation", PROPOSAL, "--visit", VISIT, "--seconds", str(said.seconds)]
    with stand_in() as url:
        config.write_text(settings(url))
        print(f"a stand-in for ICAT, not ICAT itself, at {url}", flush=True)
        for command in (["catalogue", "check", "--create", *common], ["demo", *named, *common]):
            print(f"\n$ octostream {' '.join(command)}", flush=True)
            code = subprocess.run([*_OCTOSTREAM, *command], env=environment, check=False).returncode
            if code:
                return code
        print(f"\nwhat {READER}, a user of the investigation, finds by python-icat:", flush=True)
        lines = list(found(url))
    print("\n".join(lines))
    return 0 if any(line.split() == ["complete", "True"] for line in lines) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
