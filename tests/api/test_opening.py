"""What the head checks before it opens a run."""

from __future__ import annotations

import pytest
from octostream.api.opening import check_opening
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
