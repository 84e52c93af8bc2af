"""Facts of runs to tell a catalogue about."""

from contextlib import closing
from pathlib import Path

from octostream.kernels.recipe import Recipe
from octostream.sinks.catalogue.facts import RunFacts, identity
from octostream.sinks.catalogue.reading import CatalogueReader
from octostream.sinks.catalogue.standing import Standing
from octostream.stream.model import Pixel, Plan, Run
from octostream.stream.report import RunReport

SECOND = 10**9
OPENED = 1_790_000_000 * SECOND


def run_of(n: int, store: str = "/data/inv/1/run.ome.zarr") -> Run:
    plan = Plan((2, 1, 3, 8, 10), rate_hz=100.0, exposure_ms=9.5, pixel=Pixel(0.5, 0.1, 0.1), source="file.tif")
    recipe = Recipe.load("lightsheet").to_json()
    return Run(f"20261123-0400{n:02}-abcdef", f"run{n}", "inv", plan, recipe, store, False, OPENED + n, "lattice")


def facts_of(n: int = 0, **changes: object) -> RunFacts:
    run = run_of(n)
    known: dict[str, object] = dict(
        uuid=identity(run), run=run.id, name=run.name, investigation="inv", visit="1", store=run.store,
        location=f"inv/1/{run.name}.ome.zarr", instrument="lattice", source=run.plan.source, metadata={}, technique="",
        technique_pid="", sample="", parameters=(),
        shape=run.plan.shape, rate_hz=100.0, exposure_ms=9.5, z_um=0.5, y_um=0.1, x_um=0.1, recipe=run.recipe,
        keep_raw=True, software="0.1.0", host="here", opened_ns=run.opened_ns, expected=6,
    )  # fmt: skip
    return RunFacts(**{**known, **changes})


def standing_of(path: Path, n: int = 0) -> Standing:
    """Say how a run stands by the registry's file."""
    with closing(CatalogueReader(path)) as reader:
        return reader.standings({run_of(n).id: "inv"})[run_of(n).id]


def report_of(n: int, **changes: object) -> RunReport:
    run = run_of(n)
    known = dict(
        id=run.id, name=run.name, investigation="inv", visit="1", store=run.store, source="file.tif",
        recipe="lightsheet", status="recording", shape=run.plan.shape, expected=6, opened_ns=run.opened_ns,
    )  # fmt: skip
    return RunReport(**{**known, **changes})
