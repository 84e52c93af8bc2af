"""The message table of docs/protocol.md is the messages; its numbers are the code's."""

import dataclasses
import re
import typing

from octostream.api.worker_process import SLOTS
from octostream.stream import link, messages
from octostream.stream.agent_protocol import FRAME_OVERHEAD, Timing
from octostream.stream.head_protocol import HeadTiming
from octostream.stream.model import MAX_FRAME_BYTES
from octostream.stream.preview import PREVIEW_HZ
from octostream.stream.sharing import IDLE_S, WINDOW_FRAMES
from octostream.stream.wire import MAX_HEADER_BYTES

from .conftest import ROOT, codes, table

PAGE = ROOT / "docs" / "protocol.md"


def test_message_table_is_complete_and_in_order():
    documented = {codes(kind)[0]: codes(fields) for kind, _, fields in table(PAGE, "message")}
    real = {
        kind.__name__: [field.name for field in dataclasses.fields(kind)] for kind in typing.get_args(messages.Message)
    }
    assert documented.keys() == real.keys()
    assert documented == real


def test_who_speaks_to_whom_is_what_the_code_says():
    """Each message's docstring begins with its parties: "Agent to head or worker: …"."""
    checked = 0
    for kind, parties, _ in table(PAGE, "message"):
        said = re.match(r"(.+?) to (.+?)[:,]", getattr(messages, codes(kind)[0]).__doc__.lower())
        if said is None:
            continue
        pairs = [pair.split(" → ") for pair in parties.split(", ")]
        assert {sender for sender, _ in pairs} >= set(said[1].split(" or ")), kind
        assert {receiver for _, receiver in pairs} >= set(said[2].split(" or ")), kind
        checked += 1
    assert checked >= 15


def test_numbers_in_the_text_are_those_of_the_code():
    text = " ".join(PAGE.read_text().split())
    timing, head = Timing(), HeadTiming()
    assert f"version {messages.PROTOCOL_VERSION}." in text
    assert f"above {MAX_HEADER_BYTES // 2**20} MiB is refused" in text
    assert f"above {MAX_FRAME_BYTES // 2**20} MiB closes" in text
    assert f"{FRAME_OVERHEAD} bytes, so that tiny" in text
    assert f"at most {WINDOW_FRAMES} frames, at least 2" in text
    assert f"get lost | agent, after {timing.retry_s:g} s" in text
    assert f"a worker is silent for {timing.lease_s:g} s" in text
    assert f"it is silent for {head.worker_s:g} s" in text
    assert f"the head is silent for {3 * timing.retry_s:g} s" in text
    assert f"the agent is silent for {head.agent_s:g} s" in text
    assert f"at most {head.seal_s:g} s after `End`" in text
    assert f"queues of {link.QUEUE_MESSAGES} messages" in text
    assert f"heartbeats every {link.HEARTBEAT_MS / 1000:g} s" in text
    assert f"({link.HEARTBEAT_TIMEOUT_MS / 1000:g} s without one" in text
    assert f"kernel buffers of {link.SOCKET_BUFFER_BYTES // 2**20} MiB" in text
    assert (PREVIEW_HZ, "at most six small copies" in text) == (6.0, True)
    assert (SLOTS, "a run has three where" in text) == (3, True)
    assert f"nothing came for {IDLE_S:g} s gives up" in text
