"""What the head checks before it opens a run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from octostream.api.described import Techniques
from octostream.api.opening import check_opening
from octostream.sinks.catalogue.checked_metadata import MetadataError
from octostream.sinks.catalogue.template import TemplateError
from octostream.stream import messages as m
from octostream.stream.errors import NameRefusedError
from octostream.stream.model import Plan

PLAN = Plan((1, 1, 4, 16, 16))


def opening(**changes):
    return m.Open(
        **{"token": "t", "name": "one", "investigation": "fish", "plan": PLAN, "recipe": {}, "keep_raw": False}
        | changes
    )


def test_a_run_lies_where_its_investigation_and_visit_say(tmp_path):
    plain = check_opening(opening(), tmp_path, 0).run
    assert (plain.visit, plain.store) == ("", str(tmp_path / "fish" / "one.ome.zarr"))
    visited = check_opening(opening(visit="2026-1", name=""), tmp_path, 0).run
    assert visited.name == visited.id
    assert (visited.visit, visited.store) == ("2026-1", str(tmp_path / "fish" / "2026-1" / f"{visited.id}.ome.zarr"))
    with pytest.raises(NameRefusedError, match=r"^visit name '\.\./fish'"):
        check_opening(opening(visit="../fish"), tmp_path, 0)


def test_metadata_are_taken_as_their_technique_wants_them(tmp_path):
    said = replace(PLAN, metadata={"sample": "fish", "detection_na": "1.1", "views": "2", "immersion": "WATER"})
    run = check_opening(opening(plan=said, technique="lightsheet"), tmp_path, 0).run
    assert run.technique == "lightsheet"
    assert dict(run.plan.metadata) == {"sample": "fish", "detection_na": 1.1, "immersion": "water", "views": 2}
    assert run.plan == replace(said, metadata=run.plan.metadata)
    free = check_opening(opening(plan=said), tmp_path, 0).run
    assert (free.technique, free.plan) == ("free", said)


def test_a_run_whose_metadata_do_not_fit_is_refused_before_anything_is_made(tmp_path):
    said = replace(PLAN, metadata={"detection_na": 11})
    with pytest.raises(MetadataError, match=r"needs the metadata 'sample'"):
        check_opening(opening(plan=said, technique="lattice"), tmp_path, 0)
    with pytest.raises(TemplateError, match=r"no technique 'latice': there are lightsheet, lattice"):
        check_opening(opening(technique="latice"), tmp_path, 0)
    assert list(tmp_path.iterdir()) == []


def test_a_tier_has_a_technique_of_its_own_for_runs_that_name_none(tmp_path):
    (tmp_path / "ours.toml").write_text('base = "lattice"\nsummary = "Our lattice"\nfield.organism.required = true\n')
    ours = Techniques(tmp_path, "ours")
    ours.check()
    with pytest.raises(MetadataError, match=r"technique 'ours' needs the metadata 'sample' .*, 'organism'"):
        check_opening(opening(), tmp_path, 0, techniques=ours)
    said = replace(PLAN, metadata={"sample": "7", "organism": "Danio rerio"})
    assert check_opening(opening(plan=said), tmp_path, 0, techniques=ours).run.technique == "ours"
    assert check_opening(opening(technique="free"), tmp_path, 0, techniques=ours).run.technique == "free"
    for wrong, said in (
        (Techniques(tmp_path, "theirs"), "no technique 'theirs'"),
        (Techniques(None, "ours"), "'ours'"),
    ):
        with pytest.raises(TemplateError, match=said):
            wrong.check()
    (tmp_path / "broken.toml").write_text("x")
    with pytest.raises(TemplateError, match=r"broken.toml is not TOML"):
        ours.check()
