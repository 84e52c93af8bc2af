"""What the store of a run says of it, for a catalogue that never heard of it."""

from dataclasses import replace
from pathlib import Path

import pytest
from octostream.api.catalogue_facts import facts_of_store
from octostream.api.described import Techniques
from octostream.kernels.recipe import Recipe
from octostream.kernels.reduction import plan_reduction
from octostream.sinks.keeper import StoreKeeper
from octostream.stream.model import Plan

from ..sinks.catalogue.facts import report_of, run_of

PLAN = Plan((1, 1, 4, 12, 18), rate_hz=4.0, metadata={"sample": "fish"})


@pytest.fixture
def report(tmp_path):
    recipe, maps = Recipe.load("lightsheet").resolve(PLAN.frame_shape)
    store = tmp_path / "inv/1/run0.ome.zarr"
    run = replace(run_of(0, str(store)), plan=PLAN, visit="1", recipe=recipe.to_json())
    StoreKeeper.create(run, plan_reduction(recipe, PLAN, maps).products, maps, {"octostream": "0.0.7"})
    return report_of(0, store=run.store, stored=3)


def test_a_store_tells_what_the_service_would_have_told(report, tmp_path):
    facts = facts_of_store(tmp_path, Techniques(), report)
    assert (facts.run, facts.location, facts.stored) == (report.id, "inv/1/run0.ome.zarr", 3)
    assert (facts.software, facts.sample) == ("0.0.7", "fish"), "of the version that recorded it"


def test_there_is_nothing_to_say_without_a_store_or_a_place_in_the_catalogue(report, tmp_path):
    known = Techniques()
    assert facts_of_store(tmp_path, known, replace(report, investigation="local")) is None
    assert facts_of_store(tmp_path, known, replace(report, store=str(tmp_path / "gone"))) is None
    assert facts_of_store(Path("/elsewhere"), known, report) is None
