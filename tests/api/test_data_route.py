"""Stores over HTTP: every byte of them, and nothing else."""

from __future__ import annotations

import http.client
import os
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from octostream.api.routes.byte_range import Span, span_of

CHUNK = bytes(range(256)) * 4000
PATH = "/data/local/run.ome.zarr/0/c/0/0/0"
SECRET = b"nobody may read this"


@pytest.fixture
def stores(service, make, data):
    store = make["store"](data, "run", chunk=CHUNK)
    make["store"](data, "open", status="recording", chunk=CHUNK)
    visit = data / "local" / "visit"
    visit.mkdir()
    make["store"](data, "visited", chunk=CHUNK).rename(visit / "run.ome.zarr")
    for secret in ("note", "note.ome.zarr"):
        (visit / secret).write_bytes(SECRET)
    (data.parent / "secret").write_bytes(SECRET)
    (data / "registry.sqlite").write_bytes(SECRET)
    (data / "local" / "note").write_bytes(SECRET)
    (data / "local" / "notes").mkdir()
    (data / "local" / "notes" / "deep").write_bytes(SECRET)
    for folder in (store, data):
        (folder / ".commits").mkdir()
        (folder / ".commits" / "0").write_bytes(SECRET)
    (store / "link").symlink_to(data.parent / "secret")
    (store / "folder").symlink_to(data.parent)
    os.mkfifo(store / "pipe")
    return service


def test_a_chunk_comes_whole_and_by_head(stores) -> None:
    answer = stores.http.get(stores.url + PATH)
    assert (answer.status_code, answer.content) == (200, CHUNK)
    assert answer.headers["accept-ranges"] == "bytes"
    head = stores.http.head(stores.url + PATH)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(CHUNK))


def test_the_store_of_a_visit_is_read_and_cached_like_any_other(stores) -> None:
    answer = stores.http.get(f"{stores.url}/data/local/visit/run.ome.zarr/0/c/0/0/0")
    assert (answer.status_code, answer.content) == (200, CHUNK)
    assert "immutable" in answer.headers["cache-control"]
    root = stores.http.get(f"{stores.url}/data/local/visit/run.ome.zarr/zarr.json")
    assert (root.status_code, root.headers["cache-control"]) == (200, "no-cache")


@pytest.mark.parametrize(
    ("asked", "expected", "content_range"),
    [
        ("bytes=0-9", CHUNK[:10], "bytes 0-9/1024000"),
        ("bytes=1000000-", CHUNK[1_000_000:], "bytes 1000000-1023999/1024000"),
        ("bytes=-16", CHUNK[-16:], "bytes 1023984-1023999/1024000"),
        ("bytes=-9999999", CHUNK, "bytes 0-1023999/1024000"),
        ("bytes=5-9999999", CHUNK[5:], "bytes 5-1023999/1024000"),
    ],
)
def test_ranges(stores, asked: str, expected: bytes, content_range: str) -> None:
    answer = stores.http.get(stores.url + PATH, headers={"range": asked})
    assert answer.status_code == 206
    assert answer.content == expected
    assert answer.headers["content-range"] == content_range
    head = stores.http.head(stores.url + PATH, headers={"range": asked})
    assert (head.status_code, head.headers["content-length"]) == (206, str(len(expected)))


@pytest.mark.parametrize("asked", ["bytes=1024000-", "bytes=-0", "bytes=9999999-9999999"])
def test_ranges_beyond_the_end(stores, asked: str) -> None:
    answer = stores.http.get(stores.url + PATH, headers={"range": asked})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == "bytes */1024000"
    assert answer.json() == {"detail": "the file has 1024000 bytes"}


def test_if_range_and_etag(stores) -> None:
    etag = stores.http.get(stores.url + PATH).headers["etag"]
    same = stores.http.get(stores.url + PATH, headers={"range": "bytes=0-1", "if-range": etag})
    other = stores.http.get(stores.url + PATH, headers={"range": "bytes=0-1", "if-range": '"old"'})
    assert (same.status_code, other.status_code, other.content) == (206, 200, CHUNK)
    assert stores.http.get(stores.url + PATH, headers={"if-none-match": etag}).status_code == 304


@settings(deadline=None)
@given(st.integers(0, 30), st.one_of(st.none(), st.integers(0, 40)), st.one_of(st.none(), st.integers(0, 40)))
def test_range_arithmetic_is_that_of_a_slice(size: int, first: int | None, last: int | None) -> None:
    header = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    got = span_of(header, size)
    whole = list(range(size))
    if first is None and last is None:
        expected = None
    elif first is None:
        expected = whole[-last:] if last else []
    elif last is not None and last < first:
        expected = None
    else:
        expected = whole[first : None if last is None else last + 1]
    if expected is None:
        assert got is None
    elif not expected:
        assert got == "unsatisfiable"
    else:
        assert got == Span(expected[0], len(expected))


@pytest.mark.parametrize(
    "header", [None, "", "bytes", "bytes=-", "bytes=a-b", "items=0-1", "bytes=0-1,4-5", "bytes=" + "9" * 40 + "-"]
)
def test_other_ranges_are_ignored(header: str | None) -> None:
    assert span_of(header, 10) is None


def test_caching_is_long_only_for_what_never_changes(stores, data) -> None:
    def caching(path: str) -> str:
        return stores.http.get(f"{stores.url}/data/local/{path}").headers["cache-control"]

    assert "immutable" in caching("run.ome.zarr/0/c/0/0/0")
    assert caching("run.ome.zarr/zarr.json") == "no-cache"
    assert caching("run.ome.zarr/0/zarr.json") == "no-cache"
    assert caching("open.ome.zarr/0/c/0/0/0") == "no-cache"
    assert caching("run.ome.zarr/0/c/9/9/9") == "no-cache"
    root = data / "local" / "open.ome.zarr" / "zarr.json"
    sealed = root.read_text().replace("recording", "incomplete")
    root.with_name("new").write_text(sealed)
    root.with_name("new").replace(root)
    assert "immutable" in caching("open.ome.zarr/0/c/0/0/0")
    root.write_text("{torn")
    assert caching("open.ome.zarr/0/c/0/0/0") == "no-cache"


def test_viewers_elsewhere_may_read(stores) -> None:
    for path in (PATH, PATH + "1"):
        answer = stores.http.get(stores.url + path, headers={"origin": "https://viewer.example"})
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
        assert {"Content-Range", "Content-Length"} <= set(answer.headers["access-control-expose-headers"].split(", "))
    asking = {"origin": "https://viewer.example", "access-control-request-headers": "range"}
    preflight = stores.http.options(
        stores.url + PATH, headers=asking | {"access-control-request-private-network": "true"}
    )
    assert preflight.status_code == 204
    assert "Range" in preflight.headers["access-control-allow-headers"]
    assert "GET" in preflight.headers["access-control-allow-methods"]
    assert preflight.headers["access-control-allow-private-network"] == "true"
    assert "access-control-allow-private-network" not in stores.http.options(stores.url + PATH, headers=asking).headers
    assert stores.http.put(stores.url + PATH, content=b"x").status_code == 405
    assert "access-control-allow-origin" not in stores.http.get(f"{stores.url}/api/v1/status").headers


def raw_get(port: int, target: str) -> tuple[int, bytes]:
    """Ask for exactly this target, which no client library has tidied up."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.putrequest("GET", target)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    "path",
    [
        "registry.sqlite",
        "local/note",
        "local/notes/deep",
        "local/visit/note",
        "local/visit/note.ome.zarr",
        "local/visit/run.ome.zarr",
        "local/visit/run.ome.zarr/../note",
        "secret",
        "../secret",
        "local/../../secret",
        "local/run.ome.zarr/../../../secret",
        "local/run.ome.zarr/link",
        "local/run.ome.zarr/folder/secret",
        "local/run.ome.zarr/.commits/0",
        ".commits/0/0",
        "local/run.ome.zarr/%2e%2e/%2e%2e/%2e%2e/secret",
        "local/run.ome.zarr/..%2f..%2f..%2fsecret",
        "local/run.ome.zarr/%252e%252e/%252e%252e/%252e%252e/secret",
        "local%2frun.ome.zarr%2fzarr.json",
        "local/run.ome.zarr/%2ecommits/0",
        "local/run.ome.zarr//zarr.json",
        "local/run.ome.zarr/./zarr.json",
        "local\\run.ome.zarr\\..\\..\\..\\secret",
        "local/run.ome.zarr/zarr.json%00",
        "local/run.ome.zarr/pipe",
        "local/run.ome.zarr",
        "local/run.ome.zarr/",
        "local",
        "",
        "/etc/passwd",
        "local/run.ome.zarr/zarr.json/",
        "local/run.ome.zarr/" + "a" * 300,
    ],
)
def test_nothing_but_files_of_stores(stores, path: str) -> None:
    status, body = raw_get(stores.port, "/data/" + path)
    assert status == 404
    assert SECRET not in body
    assert body.startswith(b'{"detail":"')


PARTS = st.sampled_from(
    [
        "..",
        ".",
        "",
        "local",
        "run.ome.zarr",
        "0",
        "c",
        "link",
        "folder",
        "secret",
        "data",
        ".commits",
        "registry.sqlite",
        "notes",
        "deep",
        "%2e%2e",
        "%2E.",
        "%2f",
        "..%2f..",
        "%252e%252e",
        "%c0%ae%c0%ae",
        "..\\",
        "..;",
        "%00",
        "zarr.json",
        "~",
        "C:",
    ]
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.one_of(PARTS, st.text(st.characters(codec="utf-8"), max_size=4).map(quote)), max_size=8),
    st.sampled_from(["/", "%2f", "\\", "//"]),
)
@example(["local", "run.ome.zarr", "folder", "secret"], "/")
def test_no_path_escapes(stores, parts: list[str], slash: str) -> None:
    status, body = raw_get(stores.port, "/data/" + slash.join(parts))
    assert status in (200, 404)
    assert SECRET not in body
    if status == 200:
        assert slash == "/"
        assert body in (CHUNK, b"{}") or body.startswith(b'{"zarr_format"')


def test_a_viewer_that_leaves_in_the_middle_leaves_no_open_file(stores, make, data) -> None:
    make["store"](data, "large", chunk=bytes(64 * 2**20))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with stores.http.stream("GET", f"{stores.url}/data/local/large.ome.zarr/0/c/0/0/0") as answer:
            next(answer.iter_raw(1000))
    make["wait"](lambda: len(os.listdir("/proc/self/fd")) <= before)
