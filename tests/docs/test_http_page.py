"""docs/http.md against the application: routes, verdicts, the layout of live pixels."""

import re
import struct
from pathlib import Path
from typing import get_args

from octostream.api.app import create_app
from octostream.api.feed import LatestFeed
from octostream.api.metrics import VERDICTS
from octostream.api.routes.preview import HEADER, MAX_VIEWERS
from octostream.api.routes.views import CatalogueView
from octostream.api.stored_runs import StoredRuns
from octostream.sinks.catalogue.standing import Standing, State

from .conftest import ROOT, codes, table

PAGE = ROOT / "docs" / "http.md"


def application(tmp_path):
    (tmp_path / ".octostream").mkdir()
    return create_app(LatestFeed(), StoredRuns(tmp_path), Path(tmp_path), "0")


def test_every_route_is_in_the_table(tmp_path):
    documented = {codes(cell)[0] for cell, _ in table(PAGE, "method and path")}
    described = application(tmp_path).openapi()["paths"]
    real = {f"GET {path}" for path, methods in described.items() if "get" in methods}
    real |= {"GET /", "GET /static/…", "GET /openapi.json", "WebSocket /api/v1/runs/{run_id}/preview"}
    assert documented == real
    assert {method for methods in described.values() for method in methods} == {"get", "head", "options"}


def test_every_verdict_is_explained():
    assert {word for word, _ in table(PAGE, "word")} == set(VERDICTS)


def test_every_field_of_a_run_in_the_catalogue_is_explained():
    assert {name for cell, _ in table(PAGE, "field") for name in codes(cell)} == set(Standing.__dataclass_fields__)
    ((states, _),) = [(text, cell) for cell, text in table(PAGE, "field") if codes(cell) == ["state"]]
    assert set(codes(states)) == set(get_args(State))
    text = " ".join(PAGE.read_text().split())
    assert all(f"`{name}`" in text for name in CatalogueView.model_fields)


def test_layout_of_live_pixels():
    letters = {"4 bytes": "4s", "u16": "H", "u32": "I", "u64": "Q"}
    rows = table(PAGE, "offset")
    assert "<" + "".join(letters[kind] for _, kind, _ in rows[:-1]) == HEADER.format
    offsets = [struct.calcsize("<" + "".join(letters[kind] for _, kind, _ in rows[:k])) for k in range(len(rows))]
    assert [int(offset) for offset, _, _ in rows] == offsets
    assert re.search(rf"most\s+{MAX_VIEWERS} viewers", PAGE.read_text())
