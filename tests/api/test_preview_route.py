"""Live pixels: one frame in flight per viewer, and no viewer costs more than that."""

from __future__ import annotations

import socket
import struct
from contextlib import ExitStack

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octostream.api.routes.preview import HEADER, MAX_VIEWERS, message, same_origin
from octostream.stream.report import PreviewFrame
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect


def read(data: bytes) -> tuple[dict[str, object], np.ndarray]:
    """Read a message as documented, without the code that wrote it."""
    magic, version, offset = struct.unpack_from("<4sHH", data, 0)
    number, taken, sent = struct.unpack_from("<QQQ", data, 8)
    height, width, step, run_bytes = struct.unpack_from("<IIII", data, 32)
    assert (magic, version, offset % 8) == (b"OSPF", 1, 0)
    fields = {"number": number, "taken": taken, "sent": sent, "step": step, "run": data[48 : 48 + run_bytes].decode()}
    return fields, np.frombuffer(data, "<u2", offset=offset).reshape(height, width)


def viewer(service, run: str = "live", **options: object) -> ClientConnection:
    return connect(f"{service.ws}/api/v1/runs/{run}/preview", compression=None, max_size=None, **options)


def metric(service, name: str) -> float:
    families = text_string_to_metric_families(service.http.get(f"{service.url}/metrics").text)
    return next(s.value for family in families for s in family.samples if s.name == f"octostream_{name}")


@settings(deadline=None)
@given(st.text(max_size=40), st.integers(0, 2**64 - 1), st.integers(0, 9), st.integers(0, 9))
def test_messages_can_be_read_back(run: str, number: int, height: int, width: int) -> None:
    pixels = np.arange(height * width, dtype="<u2")
    fields, image = read(message(PreviewFrame(run, number, 5, height, width, 2, pixels.tobytes()), 9))
    assert fields == {"number": number, "taken": 5, "sent": 9, "step": 2, "run": run}
    np.testing.assert_array_equal(image, pixels.reshape(height, width))
    assert HEADER.size == 48


def test_the_next_frame_is_the_latest_once_the_last_was_drawn(service, make, data) -> None:
    service.feed.put_report(make["report"](make["run"](data)))
    service.feed.put_preview(make["preview"]("r-0001", 1))
    with viewer(service) as socket_:
        fields, image = read(socket_.recv(10))
        assert (fields["number"], fields["run"]) == (1, "r-0001")
        np.testing.assert_array_equal(image.tobytes(), make["preview"]("r-0001", 1).pixels)
        for number in range(2, 51):
            service.feed.put_preview(make["preview"]("r-0001", number, 8, 8))
        with pytest.raises(TimeoutError):
            socket_.recv(0.2)
        socket_.send("drawn 1")
        assert read(socket_.recv(10))[0]["number"] == 50
        socket_.send("drawn 50")
        with pytest.raises(TimeoutError):
            socket_.recv(0.2)
        service.feed.put_preview(make["preview"]("r-0001", 51, 8, 8))
        assert read(socket_.recv(10))[0]["number"] == 51
    make["wait"](lambda: metric(service, "preview_viewers") == 0)


def test_live_follows_the_next_run_and_an_id_does_not(service, make, data) -> None:
    service.feed.put_report(make["report"](make["run"](data)))
    service.feed.put_preview(make["preview"]("r-0001", 7))
    with viewer(service) as live, viewer(service, "r-0001") as first:
        for socket_ in (live, first):
            assert read(socket_.recv(10))[0]["run"] == "r-0001"
            socket_.send("drawn 7")
        service.feed.put_report(make["report"](make["run"](data, "r-0002"), make["run"](data, status="complete")))
        service.feed.put_preview(make["preview"]("r-0002", 0))
        assert read(live.recv(10))[0]["run"] == "r-0002"
        with pytest.raises(TimeoutError):
            first.recv(0.1)


def test_viewers_that_never_read_cost_one_frame_each_and_delay_nobody(service, make, data) -> None:
    service.feed.put_report(make["report"](make["run"](data)))
    large = make["preview"]("r-0001", 0, 1024, 1024)
    target = f"127.0.0.1:{service.port}"
    handshake = (
        f"GET /api/v1/runs/live/preview HTTP/1.1\r\nHost: {target}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    deaf = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(2)]
    for raw in deaf:
        raw.sendall(handshake.encode())
    make["wait"](lambda: metric(service, "preview_viewers") == 2)
    rounds = 12
    with viewer(service) as silent, viewer(service) as first, viewer(service) as second:
        make["wait"](lambda: metric(service, "preview_viewers") == 5)
        for number in range(1, rounds + 1):
            frame = PreviewFrame("r-0001", number, large.timestamp_ns, 1024, 1024, 1, large.pixels)
            service.feed.put_preview(frame)
            for reader in (first, second):
                assert read(reader.recv(10))[0]["number"] == number
                reader.send(f"drawn {number}")
        make["wait"](lambda: metric(service, "preview_frames_sent_total") == 2 * rounds + 3)
        silent.recv(10)
        with pytest.raises(TimeoutError):
            silent.recv(0.1)
    for raw in deaf:
        raw.close()
    make["wait"](lambda: metric(service, "preview_viewers") == 0)


@pytest.mark.parametrize(
    "said",
    ["drawn 2", "drawn", "more", b"drawn 1", "drawn " + "1" * 50, "drawn -1", "drawn 1\n", ["drawn 1", "drawn 1"]],
)
def test_a_viewer_that_says_something_else_is_told_and_left(service, make, data, said) -> None:
    service.feed.put_report(make["report"](make["run"](data)))
    service.feed.put_preview(make["preview"]("r-0001", 1))
    with viewer(service) as socket_:
        socket_.recv(10)
        for text in said if isinstance(said, list) else [said]:
            socket_.send(text)
        with pytest.raises(ConnectionClosed) as closed:
            socket_.recv(10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008
    assert "drawn" in closed.value.rcvd.reason


def test_a_large_message_is_refused(service, make, data) -> None:
    service.feed.put_report(make["report"](make["run"](data)))
    with viewer(service) as socket_:
        socket_.send("x" * 100_000)
        with pytest.raises(ConnectionClosed) as closed:
            socket_.recv(10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


def test_an_unknown_run_is_said_so(service) -> None:
    with viewer(service, "nothing-here") as socket_, pytest.raises(ConnectionClosed) as closed:
        socket_.recv(10)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason[:22]) == (4404, "no run 'nothing-here':")


def test_viewers_are_counted_and_limited(service, make, data) -> None:
    service.feed.put_report(make["report"](make["run"](data)))
    with ExitStack() as stack:
        for _ in range(MAX_VIEWERS):
            stack.enter_context(viewer(service))
        make["wait"](lambda: metric(service, "preview_viewers") == MAX_VIEWERS)
        with viewer(service) as late, pytest.raises(ConnectionClosed) as closed:
            late.recv(10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1013
    make["wait"](lambda: metric(service, "preview_viewers") == 0)


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "null", "http://127.0.0.1:1", "file://"])
def test_another_pages_origin_is_refused_before_the_handshake(service, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        viewer(service, origin=origin)
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize(
    ("origin", "host", "good"),
    [
        (None, "host:1", True),
        ("http://host:1", "host:1", True),
        ("http://HOST", "host:80", True),
        ("https://host", "host", True),
        ("https://host:443", "host", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("http://host", "host:8000", False),
        ("http://host.evil", "host", False),
        ("http://hos", "host", False),
        ("ftp://host", "host", False),
        ("http://host:99999", "host:99999", False),
        ("http://[", "host", False),
        ("", "", False),
    ],
)
def test_origins(origin: str | None, host: str, good: bool) -> None:
    assert same_origin(origin, host) is good
