"""Whatever bytes a peer sends, the decoder gives a message or one clear line, soon and in little memory."""

import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import msgpack
import pytest
from octostream.stream import messages as m
from octostream.stream.errors import WireError
from octostream.stream.wire import MAX_DEPTH, MAX_HEADER_BYTES, decode, encode

from .decoder_property import DecoderError, check
from .hostile_messages import KINDS, Maker, mutated, parts_of

LONG = os.environ.get("OCTOSTREAM_CHAOS") == "long"
#: So long with the fuzzer that sees which lines it reaches, and as long with the one that knows messages.
SECONDS = 300 if LONG else 8
FUZZER = Path(__file__).with_name("fuzz_decoder.py")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_message_survives_the_wire(kind):
    for case in range(200):
        message = Maker(random.Random(f"{kind.__name__}-{case}")).message(kind)
        assert decode(parts_of(message)) == message, case


@pytest.mark.timeout(SECONDS + 90)
def test_mutated_messages():
    corpus = [parts_of(Maker(random.Random(f"{k.__name__}-{n}")).message(k)) for k in KINDS for n in range(10)]
    case = messages = 0
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        rng = random.Random(f"case-{case}")
        parts = mutated(rng, rng.choice(corpus), rng.choice(corpus))
        try:
            messages += check(parts, memory=case % 100 == 0)
        except Exception as error:
            raise AssertionError(f"case {case}: {parts}"[:3000]) from error
        case += 1
    print(f"{case} cases, {messages} of them messages")
    assert 0 < messages < case


@pytest.mark.timeout(SECONDS + 90)
def test_fuzzer_that_follows_coverage(tmp_path):
    pytest.importorskip("atheris", reason="the fuzzer is for Linux and CPython")
    ran = subprocess.run(
        [sys.executable, FUZZER, "--seconds", str(SECONDS)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        timeout=SECONDS + 60,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert not list(tmp_path.iterdir()), "the corpus stays behind"
    tried = re.search(r"Done (\d+) runs", ran.stderr)
    assert tried, ran.stderr[-3000:]
    messages = re.findall(r"\d+ cases, (\d+) of them messages", ran.stderr)
    print(f"{tried[1]} cases, at least {messages[-1]} of them messages")
    assert len(KINDS) < int(messages[-1]) < int(tried[1])


def header(kind, **fields):
    return msgpack.packb({"v": m.PROTOCOL_VERSION, "type": kind, **fields})


def deep(levels):
    value = 1
    for _ in range(levels):
        value = [value]
    return value


OPEN = {"token": "t", "name": "n", "investigation": "i", "recipe": {}, "keep_raw": True, "nbytes": 0}
STATS = {"worker": "w", "rss_bytes": 1, "trouble": "", "received": {}}


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ([header("Open", **OPEN, plan={"shape": [0] * 10**6, "axes": "tczyx"}), b""], "five sizes"),
        ([header("Open", **OPEN, plan={"shape": [1] * 5, "axes": "\n" * 60000}), b""], "five axes"),
        ([header("Open", **OPEN, plan={"shape": [1] * 5, "axes": "\n\u2028\x00yx"}), b""], "axes"),
        ([header("Stats", **STATS, stages=[{"a": b"bytes"}])], "no JSON type"),
        ([header("Stats", **STATS, stages=[{"a": float("nan")}])], "finite"),
        ([header("Stats", **STATS, stages=[{b"a": 1}])], "text"),
        ([header("Stats", **STATS, stages=[{"a": deep(MAX_DEPTH)}])], "deep"),
        ([header("Stats", **STATS, stages=[{"a": "x" * 70000}])], "text of"),
        ([b"\xdd\x7f\xff\xff\xff" * 200_000], "msgpack"),
        ([(b"\xdd" + (MAX_HEADER_BYTES).to_bytes(4, "big")) * 510 + b"\x90" * (MAX_HEADER_BYTES - 2550)], "msgpack"),
        ([b"\x91" * MAX_HEADER_BYTES], "header"),
        ([b"\x80" * MAX_HEADER_BYTES], "header"),
    ],
)
def test_known_bombs(parts, named):
    assert not check(parts, memory=True)
    with pytest.raises(WireError, match=named):
        decode(parts)


def test_largest_headers_that_are_messages():
    """What costs most: a megabyte of maps that are empty, of ranges, of losses."""
    room = MAX_HEADER_BYTES - 200
    ranges = [[3 * k, 3 * k + 1] for k in range(room // 11)]
    losses = [{"first": k, "last": k, "where": "", "why": ""} for k in range(room // 32)]
    assert check([header("Stats", **STATS, stages=[{}] * room)], memory=True)
    assert check([header("Committed", run="r", blocks=ranges)], memory=True)
    assert check([header("Lost", run="r", losses=losses)], memory=True)


@pytest.mark.parametrize(
    "broken",
    [
        lambda parts: (_ for _ in ()).throw(WireError("two\nlines")),
        lambda parts: (_ for _ in ()).throw(WireError("x" * 1000)),
        lambda parts: m.Pong("another") if bytes(parts[0]) == encode(m.Pong("r"))[0] else m.Pong("r"),
        lambda parts: [bytearray(10**7), m.Pong("r")][1],
    ],
    ids=["lines", "long", "other", "memory"],
)
def test_the_property_can_fail(monkeypatch, broken):
    from . import decoder_property

    monkeypatch.setattr(decoder_property, "decode", broken)
    with pytest.raises(DecoderError):
        check(encode(m.Pong("r")), memory=True)


def test_the_property_sees_time(monkeypatch):
    from . import decoder_property

    monkeypatch.setattr(decoder_property, "SECONDS_AT_LEAST", 0.0)
    monkeypatch.setattr(decoder_property, "SECONDS_A_BYTE", 0.0)
    with pytest.raises(DecoderError, match=r"took 0\.0 s"):
        check(encode(m.Pong("r")))
