import threading

import pytest
import zmq
from octostream.stream.errors import UsageError, WireError
from octostream.stream.link import HEARTBEAT_MS, Dealer, Poll, Publisher, Router, Subscriber, Waker, context, host_of
from octostream.stream.model import Frame
from octostream.stream.preview import publish_preview, publish_report, read_copy, shrink
from octostream.stream.report import ServiceReport


@pytest.fixture
def ctx():
    made = context()
    yield made
    made.term()


@pytest.fixture
def closing():
    links = []
    yield lambda link: links.append(link) or link
    for link in links:
        link.close()


def receive(link, turns=200):
    poll = Poll()
    poll.add(link)
    for _ in range(turns):
        poll.wait(0.05)
        got = link.receive()
        if got is not None:
            return got
    raise AssertionError("nothing came")


def test_payload_travels_and_its_buffer_comes_back(ctx, closing):
    router = closing(Router(ctx, "tcp://127.0.0.1:0", 2**24))
    dealer = closing(Dealer(ctx, router.endpoint))
    payload = bytearray(b"\x05" * 2**20)
    done = dealer.send_tracked(b"head", memoryview(payload))
    address, (header, body), _ = receive(router)
    assert (bytes(header), bytes(body)) == (b"head", bytes(payload))
    for _ in range(200):
        if done():
            break
        threading.Event().wait(0.01)
    assert done()
    assert router.send(address, [b"yes"])
    assert [bytes(p) for p in receive(dealer)] == [b"yes"]


def test_message_over_the_limit_never_arrives(ctx, closing):
    router = closing(Router(ctx, "tcp://127.0.0.1:0", 1000))
    dealer = closing(Dealer(ctx, router.endpoint))
    dealer.send([bytes(2000)])
    dealer.send([b"after"])
    poll = Poll()
    poll.add(router)
    got = []
    for _ in range(20):
        poll.wait(0.05)
        while (message := router.receive()) is not None:
            got.append(bytes(message[1][0]))
    assert bytes(2000) not in got


def test_sending_to_nobody_is_said(ctx, closing):
    router = closing(Router(ctx, "tcp://127.0.0.1:0"))
    assert router.send(b"nobody", [b"hello"]) is False


def test_address_taken_and_addresses_that_are_none(ctx, closing):
    router = closing(Router(ctx, "tcp://127.0.0.1:0"))
    with pytest.raises(UsageError, match=r"cannot listen at .*in use"):
        Router(ctx, router.endpoint)
    with pytest.raises(UsageError, match="tcp://HOST:PORT"):
        Dealer(ctx, "nonsense")
    for wrong in ("http://a:1", "tcp://a", "tcp://:1", "a:1", "tcp://a:b"):
        with pytest.raises(UsageError, match="tcp://HOST:PORT"):
            host_of(wrong)
    assert host_of("tcp://127.0.0.1:5642") == "127.0.0.1"


def test_waker_wakes_and_never_blocks(ctx, closing):
    waker = closing(Waker(ctx))
    for _ in range(1000):
        waker.wake()
    poll = Poll()
    poll.add(waker)
    poll.wait(5)
    waker.clear()


def test_copies_reach_a_listener_and_nobody_waits_for_one(ctx, closing, tmp_path):
    import numpy as np

    endpoint = f"ipc://{tmp_path}/copies"
    publisher = closing(Publisher(ctx, endpoint))
    image = np.arange(1200 * 900, dtype=np.uint32).astype(np.uint16).reshape(1200, 900)
    preview = shrink("r", Frame(7, 8, 9), image)
    assert (preview.step, preview.height, preview.width) == (3, 400, 300)
    for _ in range(50):
        publish_preview(publisher, preview)  # nobody listens: nothing happens
    subscriber = closing(Subscriber(ctx, endpoint, 2**23))
    poll = Poll()
    poll.add(subscriber)
    copies = []
    for _ in range(200):
        publish_preview(publisher, preview)
        publish_report(publisher, ServiceReport(1, "IDLE", ""))
        poll.wait(0.05)
        while (parts := subscriber.receive()) is not None:
            copies.append(read_copy(parts))
        if len({type(c) for c in copies}) == 2:
            break
    assert preview in copies
    assert ServiceReport(1, "IDLE", "") in copies
    pixels = np.frombuffer(preview.pixels, "<u2").reshape(400, 300)
    np.testing.assert_array_equal(pixels, image[::3, ::3])


@pytest.mark.parametrize("parts", [[b"report", b"\xc1"], [b"preview", b"\x90"], [b"noise", b""], [b"report"]])
def test_copy_that_cannot_be_read(parts):
    with pytest.raises(WireError):
        read_copy(parts)


def test_nobody_who_is_back_waits_for_the_kernel_to_ask_again(ctx, closing):
    """What a cut link swallowed is asked again after 1, 2, 4, 8 … s by the kernel, and within a heartbeat by us."""
    for link in (closing(Dealer(ctx, "tcp://127.0.0.1:1")), closing(Publisher(ctx, "tcp://127.0.0.1:1"))):
        assert 0 < link.socket.getsockopt(zmq.CONNECT_TIMEOUT) <= HEARTBEAT_MS
