"""Runs, ledgers and projections over HTTP."""

from __future__ import annotations

import numpy as np
import pytest
from octostream.stream.errors import StoreError


def test_runs_are_paged_newest_first(service, make, data) -> None:
    service.runs.rows = [make["run"](data, f"r-{n}", status="complete") for n in range(7, 0, -1)]
    seen, before = [], None
    for _ in range(4):
        page = service.http.get(
            f"{service.url}/api/v1/runs", params={"limit": 3} | ({"before": before} if before else {})
        ).json()
        seen += [run["id"] for run in page["runs"]]
        before = page["next"]
        if before is None:
            break
    assert seen == [f"r-{n}" for n in range(7, 0, -1)]
    assert before is None
    assert service.http.get(f"{service.url}/api/v1/runs?limit=7").json()["next"] is None


def test_a_live_run_shows_what_the_head_says(service, make, data) -> None:
    service.runs.rows = [make["run"](data, stored=0)]
    service.feed.put_report(make["report"](make["run"](data, stored=500), make["run"](data, "r-new")))
    assert service.http.get(f"{service.url}/api/v1/runs").json()["runs"][0]["stored"] == 500
    assert service.http.get(f"{service.url}/api/v1/runs/live").json()["stored"] == 500
    assert service.http.get(f"{service.url}/api/v1/runs/r-new").json()["id"] == "r-new"


def test_a_run_says_where_it_can_be_read_and_how_much_it_shrank(service, make, data) -> None:
    (data.parent / "alias").symlink_to(data)
    by_link = str(data.parent / "alias" / "local" / "embryo-r-3.ome.zarr")
    service.runs.rows = [
        make["run"](data, raw_bytes=100, stored_bytes=40),
        make["run"](data, "r-2", store="/elsewhere/x/y", stored_bytes=0),
        make["run"](data, "r-3", store=by_link),
        make["run"](data, "r-4", store=f"{data.resolve()}/local/2026-1/embryo.ome.zarr", visit="2026-1"),
        make["run"](data, "r-5", store=f"{data.resolve()}/local/2026-1/deeper/embryo.ome.zarr"),
    ]
    run = service.http.get(f"{service.url}/api/v1/runs/r-0001").json()
    assert run["data_url"] == "/data/local/embryo-r-0001.ome.zarr"
    assert run["compression"] == 2.5
    assert service.http.get(f"{service.url}/api/v1/runs/r-3").json()["data_url"] == "/data/local/embryo-r-3.ome.zarr"
    other = service.http.get(f"{service.url}/api/v1/runs/r-2").json()
    assert (other["data_url"], other["compression"]) == ("", None)
    visited, deeper = (service.http.get(f"{service.url}/api/v1/runs/r-{n}").json() for n in (4, 5))
    assert (visited["visit"], visited["data_url"]) == ("2026-1", "/data/local/2026-1/embryo.ome.zarr")
    assert (run["visit"], deeper["data_url"]) == ("", "")


def test_runs_say_how_they_stand_in_the_catalogue(service, make, data, catalogue) -> None:
    runs = [make["run"](data, f"r-{n}", investigation="inv") for n in range(4)]
    service.runs.rows = [*runs, make["run"](data, "r-local")]
    for run in runs[:3]:
        catalogue.told(run)
    catalogue.delivered(0.25, reduced=7, raw=8)
    catalogue.parked("no such visit", "create it")
    catalogue.failed("no answer", 600)
    told = {run["id"]: run["catalogue"] for run in service.http.get(f"{service.url}/api/v1/runs").json()["runs"]}
    assert [told[f"r-{n}"]["state"] for n in (0, 1, 2, 3, "local")] == [
        "complete",
        "parked",
        "queued",
        "local",
        "local",
    ]
    assert (told["r-0"]["datasets"], told["r-0"]["lag_s"]) == ({"reduced": 7, "raw": 8}, 0.25)
    assert (told["r-1"]["why"], told["r-1"]["remedy"], told["r-1"]["next_try_ns"]) == (
        "no such visit",
        "create it",
        None,
    )
    assert told["r-2"]["next_try_ns"] > 600e9
    assert service.http.get(f"{service.url}/api/v1/runs/r-1").json()["catalogue"] == told["r-1"]


def test_a_status_says_what_waits_and_that_something_changed(service, make, data, catalogue) -> None:
    def status() -> dict[str, object]:
        return service.http.get(f"{service.url}/api/v1/status").json()["catalogue"]

    make["wait"](lambda: service.catalogue._version is not None)
    nothing = status()
    assert nothing | {"mark": ""} == {
        "queued": 0,
        "parked": 0,
        "oldest_pending_s": None,
        "registered": 0,
        "mark": "",
    }
    for n in range(2):
        catalogue.told(make["run"](data, f"r-{n}", investigation="inv"), ago_s=100)
    make["wait"](lambda: status()["queued"] == 2)
    assert status()["oldest_pending_s"] >= 100
    before = status()["mark"]
    assert before not in ("", nothing["mark"])
    catalogue.failed("no answer", 600)
    make["wait"](lambda: status()["mark"] != before)


def test_a_page_of_runs_is_looked_up_at_once(service, make, data, catalogue, monkeypatch) -> None:
    service.runs.rows = [make["run"](data, f"r-{n:03}") for n in range(199, -1, -1)]
    asked, standings = [], service.catalogue.standings
    monkeypatch.setattr(service.catalogue, "standings", lambda runs: asked.append(runs) or standings(runs))
    page = service.http.get(f"{service.url}/api/v1/runs?limit=100").json()["runs"]
    assert [(len(runs), len(page)) for runs in asked] == [(100, 100)]


def test_without_a_catalogue_nothing_is_said_of_it(service, make, data) -> None:
    service.runs.rows = [make["run"](data)]
    assert service.http.get(f"{service.url}/api/v1/runs").json()["runs"][0]["catalogue"] is None
    assert service.http.get(f"{service.url}/api/v1/runs/r-0001").json()["catalogue"] is None
    assert service.http.get(f"{service.url}/api/v1/status").json()["catalogue"] is None
    assert "octostream_catalogue" not in service.http.get(f"{service.url}/metrics").text


def test_the_ledger_names_every_range(service, make, data) -> None:
    service.runs.rows = [make["run"](data)]
    assert service.http.get(f"{service.url}/api/v1/runs/r-0001/ledger").json() == {
        "run": "r-0001",
        "status": "recording",
        "frames_expected": 10,
        "frames_stored": 7,
        "frames_lost": 1,
        "frames_projection_only": 2,
        "stored": [[0, 6]],
        "projection_only": [[2, 3]],
        "lost": [{"first": 8, "last": 8, "where": "agent", "why": "spool full"}],
    }


@pytest.mark.parametrize("which", ["xy", "xz", "yz"])
@pytest.mark.parametrize("c", [0, 1])
def test_projections_come_as_pixels_with_their_size(service, make, data, which: str, c: int) -> None:
    service.runs.rows = [make["run"](data, shape=(4, 2, 88, 2048, 2048))]
    address = f"{service.url}/api/v1/runs/r-0001/projections/{which}?c={c}"
    answer = service.http.get(address)
    size = [int(answer.headers[f"x-octostream-{name}"]) for name in ("t", "c", "height", "width")]
    t, image = service.runs.projection("r-0001", which, c)
    assert size == [t, c, *image.shape]
    np.testing.assert_array_equal(np.frombuffer(answer.content, "<u2").reshape(image.shape), image)
    again = service.http.get(address, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_no_projection_yet_is_no_error(service, make, data) -> None:
    service.runs.rows = [make["run"](data, stored=0)]
    assert service.http.get(f"{service.url}/api/v1/runs/r-0001/projections/xy").status_code == 204


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("runs/none", 404, "no run 'none': /api/v1/runs lists"),
        ("runs/live", 404, "no run is recording: start one"),
        ("runs/none/ledger", 404, "no run 'none'"),
        ("runs/none/projections/xy", 404, "no run 'none'"),
        ("runs/r-0001/projections/xy?c=1", 404, "no channel 1"),
        ("runs/r-0001/projections/zz", 422, "which: Input should be 'xy', 'xz' or 'yz'"),
        ("runs/r-0001/projections/xy?c=-1", 422, "c: Input should be greater than or equal to 0"),
        ("runs/..%2f", 404, "nothing at this address"),
        ("runs/%20", 422, "run_id: "),
        ("runs?limit=0", 422, "limit: "),
        ("runs?limit=100000", 422, "limit: "),
    ],
)
def test_refusals_are_one_clear_line(service, make, data, path: str, status: int, words: str) -> None:
    service.runs.rows = [make["run"](data, status="complete")]
    answer = service.http.get(f"{service.url}/api/v1/{path}")
    assert answer.status_code == status
    assert set(answer.json()) == {"detail"}
    assert words in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]


def test_a_registry_that_cannot_be_read_is_said_so(service, monkeypatch) -> None:
    def broken(limit: int, before: str | None) -> list[object]:
        raise StoreError("the run registry cannot be read", "check the disk under the data directory")

    monkeypatch.setattr(service.runs, "list", broken)
    answer = service.http.get(f"{service.url}/api/v1/runs")
    assert answer.status_code == 503
    assert answer.json()["detail"] == "the run registry cannot be read: check the disk under the data directory"


def test_the_recipe_is_given_by_steps(service, make, data) -> None:
    service.runs.rows = [make["run"](data), make["run"](data, "r-2")]
    service.runs.gone = {"r-2"}
    assert service.http.get(f"{service.url}/api/v1/runs/r-0001/recipe").json() == {
        "run": "r-0001",
        "name": "lightsheet",
        "steps": [
            {
                "step": "calibrate",
                "parameters": {
                    "offset": 98,
                    "gain": {"map": "calibrate.gain", "file": "gain.npy", "xxh3": "0123456789abcdef"},
                },
            },
            {"step": "hot_pixels", "parameters": {"pixels": [[3, 4], [5, 6]]}},
            {"step": "projections", "parameters": {"along": ["z", "y"]}},
            {"step": "statistics", "parameters": {}},
        ],
    }
    for run in ("r-2", "r-3", "live"):
        assert service.http.get(f"{service.url}/api/v1/runs/{run}/recipe").status_code == 404


def test_metadata_are_given_with_their_technique(service, make, data) -> None:
    service.runs.rows = [make["run"](data, technique="lightsheet"), make["run"](data, "r-2")]
    told = {"sample": "<b>fish</b>", "detection_na": 1.1, "views": 2, "live": True}
    answer = service.http.get(f"{service.url}/api/v1/runs/r-0001/metadata").json()
    assert answer == {"run": "r-0001", "technique": "lightsheet", "metadata": told}
    assert [type(value) for value in answer["metadata"].values()] == [str, float, int, bool]
    answer = service.http.get(f"{service.url}/api/v1/runs/r-2/metadata").json()
    assert answer == {"run": "r-2", "technique": "free", "metadata": {}}
    service.runs.gone.add("r-2")
    for run in ("r-2", "r-3"):
        assert service.http.get(f"{service.url}/api/v1/runs/{run}/metadata").status_code == 404
