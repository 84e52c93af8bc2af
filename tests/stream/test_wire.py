import contextlib
from dataclasses import replace

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from octostream.stream import messages as m
from octostream.stream.errors import WireError
from octostream.stream.model import Loss, Pixel, Plan
from octostream.stream.ranges import Ranges
from octostream.stream.wire import MAX_HEADER_BYTES, decode, encode

text = st.text(max_size=30)
whole = st.integers(0, 2**64 - 1)
small = st.integers(0, 10**6)
ranges = st.lists(st.integers(0, 500), max_size=20).map(Ranges.of)
losses = st.builds(lambda a, n, w, y: Loss(a, a + n, w, y), small, small, text, text)
plans = st.builds(
    Plan,
    shape=st.tuples(*(st.integers(1, most) for most in (500, 10, 500, 3000, 3000))),
    axes=st.sampled_from(["tczyx", "zyx", "yx", "tyx"]),
    rate_hz=st.none() | st.floats(0.001, 1e5),
    exposure_ms=st.none() | st.floats(0, 1e6),
    pixel=st.builds(Pixel, st.none() | st.floats(0.01, 10), st.none(), st.floats(0.01, 10)),
    source=text,
    metadata=st.dictionaries(text, text | st.booleans() | st.integers(-5, 5), max_size=3),
)
strategies = {
    m.Open: st.builds(
        m.Open,
        plan=plans,
        recipe=st.dictionaries(text, text, max_size=3),
        maps=st.just((("calibrate.gain", "float32", (2, 3)),)),
        payload=st.binary(max_size=50).map(memoryview),
        token=text,
        name=text,
        investigation=text,
        visit=text,
        technique=text,
        keep_raw=st.booleans(),
    ),
    m.FrameData: st.builds(
        m.FrameData, text, whole, whole, whole, whole, payload=st.binary(max_size=50).map(memoryview)
    ),
    m.Welcome: st.builds(
        m.Welcome, text, text, text, st.lists(st.builds(m.Peer, text, text), max_size=3).map(tuple), ranges
    ),
    m.End: st.builds(m.End, text, st.lists(losses, max_size=3).map(tuple)),
    m.Flush: st.builds(m.Flush, text, whole, whole, ranges),
    m.Credit: st.builds(m.Credit, text, whole, whole),
    m.BlockDone: st.builds(
        m.BlockDone, text, whole, ranges, whole, whole, st.just(((1, 2), 0.5)), st.just(((3,), 1.0))
    ),
    m.Stats: st.builds(
        m.Stats,
        text,
        st.just(({"name": "reduce"},)),
        whole,
        text,
        st.dictionaries(text, whole, max_size=2),
    ),
}


@given(st.one_of(*strategies.values()))
def test_round_trip(message):
    parts = [bytes(p) for p in encode(message)]
    assert decode(parts) == message


def test_every_message_type_can_be_read():
    # Building the readers looks at every field of every type: a new field type without a reader fails here.
    for kind in m.Message.__args__:
        with pytest.raises(WireError, match=r"lacks|payload"):
            decode([msgpack.packb({"v": m.PROTOCOL_VERSION, "type": kind.__name__})]) if kind not in (
                m.Ping,
                m.Pong,
            ) else decode([msgpack.packb({"v": m.PROTOCOL_VERSION, "type": kind.__name__}), b"x"])


def test_unknown_header_keys_are_tolerated():
    header = msgpack.unpackb(encode(m.Pong("r"))[0])
    header["colour"] = "green"
    assert decode([msgpack.packb(header)]) == m.Pong("r")


def edited(message, **changes):
    parts = encode(message)
    header = msgpack.unpackb(parts[0])
    header.update(changes)
    return [msgpack.packb({k: v for k, v in header.items() if v is not ...}), *parts[1:]]


def test_an_opening_of_before_visits_and_techniques_names_none():
    opening = m.Open("t", "n", "i", Plan((1, 1, 1, 2, 2)), {}, keep_raw=False, visit="1", technique="flim")
    assert decode(edited(opening)) == replace(opening, payload=memoryview(b""))
    before = decode(edited(opening, visit=..., technique=...))
    assert (before.visit, before.technique) == ("", "")


def test_a_plan_of_before_whole_stacks_wants_none():
    opening = m.Open("t", "n", "i", Plan((1, 1, 1, 2, 2), whole_stacks=True), {}, keep_raw=False)
    parts = encode(opening)
    assert decode(parts).plan.whole_stacks
    plan = msgpack.unpackb(parts[0])["plan"]
    del plan["whole_stacks"]
    assert not decode(edited(opening, plan=plan)).plan.whole_stacks
    with pytest.raises(WireError):
        decode(edited(opening, plan={**plan, "whole_stacks": 1}))


frame = m.FrameData("r", 1, 7, 1, 2, b"abcd")


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ([], "0 parts"),
        ([b"a", b"b", b"c"], "3 parts"),
        ([b"\xc1"], "not msgpack"),
        ([msgpack.packb([1])], "not a map"),
        ([b"\x00" * (MAX_HEADER_BYTES + 1)], "over the limit"),
        ([b"\x91" * 5000], "header"),
        (edited(frame, v=99), "version 99"),
        (edited(frame, type="Bang"), "'Bang' is unknown"),
        (edited(frame, number=...), "lacks 'number'"),
        (edited(frame, number=-1), "FrameData.number"),
        (edited(frame, number=True), "FrameData.number"),
        (edited(frame, run=5), "FrameData.run"),
        (edited(frame, run="x" * 70000), "FrameData.run"),
        (edited(frame, nbytes=5), "says 5"),
        (edited(frame)[:1], "lacks its payload"),
        ([encode(m.Pong())[0], b"x"], "carries a payload"),
        (edited(m.Flush("r", 1, 2, Ranges()), frames=[[5, 3]]), "ends before"),
        (edited(m.Flush("r", 1, 2, Ranges()), frames=7), "Flush.frames"),
        (edited(m.Lost("r", ()), losses=[{"first": 1}]), "Lost.losses"),
    ],
)
def test_malformed_is_refused_by_name(parts, named):
    with pytest.raises(WireError, match=named):
        decode(parts)


@given(st.lists(st.binary(max_size=200), max_size=3))
def test_noise_is_never_fatal(parts):
    with pytest.raises(WireError):
        decode(parts)


@given(
    st.sampled_from(sorted(strategies, key=lambda k: k.__name__)),
    st.data(),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | text | st.binary(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
        max_leaves=8,
    ),
)
def test_wrong_field_values_are_named_or_valid(kind, data, value):
    message = data.draw(strategies[kind])
    parts = encode(message)
    header = msgpack.unpackb(parts[0])
    key = data.draw(st.sampled_from(sorted(header)))
    header[key] = value
    with contextlib.suppress(WireError):
        assert isinstance(decode([msgpack.packb(header), *parts[1:]]), m.Message)
