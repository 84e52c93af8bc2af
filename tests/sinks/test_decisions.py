"""Decisions without a disk: how far a store is shown, how arrays are cut, where images lie, what records hold."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octostream.sinks.account import account
from octostream.sinks.commits import DamagedRecordError, commit_from_bytes, commit_to_bytes
from octostream.sinks.growth import Growth, growth_axis, reach
from octostream.sinks.layout import CHUNK_BYTES, array_metadata, array_path, cut, shard_file
from octostream.sinks.ngff import axes, omero, transformations
from octostream.sinks.windows import window_of
from octostream.stream.model import Commit, Frame, FrameStats, Loss, Pixel, Plan, Product
from octostream.stream.ranges import Ranges

plans = st.builds(
    lambda shape, rate: Plan((*shape, 4, 6), rate_hz=rate),
    st.tuples(st.integers(1, 6), st.integers(1, 3), st.integers(1, 9)),
    st.sampled_from([None, 1.0, 2.0, 5.0, 20.0]),
)


@settings(deadline=None, max_examples=100)
@given(plans, st.data())
def test_only_what_is_committed_is_visible_and_it_never_shrinks(plan, data):
    growth = Growth(plan)
    order = data.draw(st.permutations(range(len(plan.blocks))))
    committed: set[int] = set()
    before = 0
    for number in order:
        held = data.draw(st.sets(st.sampled_from(list(plan.blocks[number].frames)), min_size=1))
        growth.add(number, reach(plan, held))
        committed.add(number)
        extent = growth.visible
        assert extent.length >= before
        before = extent.length
        along = 0 if extent.axis == "t" else 2
        for frame in range(plan.frames):
            if plan.index(frame)[along] < extent.length:
                assert plan.blocks.block_of(frame).number in committed
        assert not extent.stacks or len(committed) == len(plan.blocks)
        assert extent.length <= growth.final.length
    assert growth.visible == growth.final


@pytest.mark.parametrize("rate", [3.0, 6.0])
def test_a_single_stack_shows_only_planes_of_which_every_channel_is_there(rate):
    plan = Plan((1, 2, 6, 4, 4), rate_hz=rate)
    growth = Growth(plan)
    per_channel = len(plan.blocks) // 2
    for number in range(per_channel):
        growth.add(number, reach(plan, plan.blocks[number].frames))
        assert growth.visible.length == 0
    for number in range(per_channel, 2 * per_channel):
        growth.add(number, reach(plan, plan.blocks[number].frames))
        assert growth.visible.length == plan.blocks.step[2] * (number - per_channel + 1)
    assert growth.visible.stacks


def test_stores_grow_along_t_unless_there_is_one_stack():
    assert growth_axis(Plan((2, 1, 5, 4, 4))) == "t"
    assert growth_axis(Plan((1, 3, 5, 4, 4))) == "z"
    assert growth_axis(Plan((1, 3, 1, 4, 4))) == "t"


@settings(deadline=None, max_examples=100)
@given(
    st.tuples(st.integers(1, 400), st.integers(1, 4), st.integers(1, 400), st.integers(1, 3000), st.integers(1, 3000)),
    st.sampled_from([None, 30.0, 97.0]),
    st.sampled_from(["tczyx", "tcyx", "tczx", "tczy"]),
)
def test_chunks_divide_shards_and_have_a_useful_size(shape, rate, names):
    plan = Plan(shape, rate_hz=rate)
    size = dict(zip("tczyx", shape, strict=True))
    product = Product("projections/xy", names, tuple(size[a] for a in names), "uint16", 1)
    shard, chunk = cut(plan, product)
    step = dict(zip("tcz", plan.blocks.step, strict=True))
    for axis, s, n in zip(names, shard, chunk, strict=True):
        assert s % n == 0
        if axis in step:
            assert s == step[axis]
        else:
            assert size[axis] <= s < size[axis] + s // n
    assert 2 * math.prod(chunk) <= CHUNK_BYTES


def test_chunks_of_usual_cameras_are_about_a_megabyte():
    plan = Plan((10, 1, 30, 2048, 2048), rate_hz=100.0)
    sizes = []
    for side in (2048, 1024, 512, 256):
        shard, chunk = cut(plan, Product("0", "tczyx", (10, 1, 30, side, side), "uint16", 2))
        assert shard == (1, 1, 30, side, side)
        sizes.append(2 * math.prod(chunk))
    assert all(2**19 <= size <= 2**20 for size in sizes)


def test_shards_are_such_that_viewers_in_a_browser_read_them():
    plan = Plan((10, 1, 30, 64, 64), rate_hz=100.0)
    metadata = array_metadata(plan, Product("0", "tczyx", (10, 1, 30, 64, 64), "uint16", 2), (0, 1, 30, 64, 64))
    (codec,) = metadata["codecs"]
    assert codec["name"] == "sharding_indexed"
    assert codec["configuration"]["index_location"] == "end"
    assert [c["name"] for c in codec["configuration"]["index_codecs"]] == ["bytes", "crc32c"]
    blosc = codec["configuration"]["codecs"][1]["configuration"]
    assert (blosc["cname"], blosc["clevel"], blosc["shuffle"], blosc["typesize"]) == ("lz4", 1, "bitshuffle", 2)
    assert metadata["dimension_names"] == list("tczyx")
    assert metadata["chunk_key_encoding"]["configuration"]["separator"] == "/"


def test_shards_have_the_names_that_zarr_gives_them(tmp_path):
    plan = Plan((4, 2, 9, 4, 4), rate_hz=4.0)
    assert plan.blocks.step == (1, 1, 3)
    product = Product("projections/xz", "tczx", (4, 2, 9, 4), "uint16", 1)
    block = plan.blocks.block_of((3 * 2 + 1) * 9 + 7)
    assert shard_file(tmp_path, plan, product, block) == tmp_path / "projections/xz/0/c/3/1/2/0"
    assert array_path(Product("raw/0", "tczyx", (4, 2, 9, 4, 4), "uint16", 1)) == "raw/0"


def test_every_level_and_projection_lies_on_the_raw_pixels():
    plan = Plan((2, 1, 3, 13, 9), rate_hz=30.0, pixel=Pixel(0.5, 0.2, 0.1))
    raw = Product("raw/0", "tczyx", plan.shape, "uint16", 1)
    for factor in (1, 2, 4, 8):
        product = Product("0", "tczyx", (2, 1, 3, math.ceil(13 / factor), math.ceil(9 / factor)), "uint16", factor)
        (scale, translation), (raw_scale, raw_translation) = (transformations(p, plan) for p in (product, raw))
        for k, pixel in ((3, 0.2), (4, 0.1)):
            for i in range(3):
                centre = np.mean([j * raw_scale["scale"][k] for j in range(i * factor, (i + 1) * factor)])
                assert i * scale["scale"][k] + translation["translation"][k] == pytest.approx(centre)
            assert raw_translation["translation"][k] == 0
            assert raw_scale["scale"][k] == pixel
        assert scale["scale"][:3] == [0.1, 1.0, 0.5]
    assert [a.get("unit") for a in axes("tczyx", plan)] == ["second", None, *["micrometer"] * 3]


def test_unknown_sampling_has_no_unit():
    plan = Plan((2, 1, 3, 4, 4))
    assert not any("unit" in a for a in axes("tczyx", plan))
    assert transformations(Product("0", "tczyx", plan.shape, "uint16", 2), plan) == [
        {"type": "scale", "scale": [1, 1, 1, 2, 2]},
        {"type": "translation", "translation": [0, 0, 0, 0.5, 0.5]},
    ]


def test_channels_have_names_colours_and_windows():
    shown = omero(Plan((1, 2, 1, 4, 4), channels=("GFP", "RFP")), {1: (90, 400)})["channels"]
    assert [c["label"] for c in shown] == ["GFP", "RFP"]
    assert shown[0]["color"] != shown[1]["color"]
    assert shown[1]["window"] == {"min": 0, "max": 65535, "start": 90, "end": 400}
    assert omero(Plan((1, 1, 1, 4, 4)), {})["channels"][0]["color"] == "FFFFFF"


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(0, 65535), min_size=1, max_size=400))
def test_windows_hold_nearly_all_pixels(values):
    start, end = window_of(np.array(values, np.uint16))
    assert 0 <= start < end <= 65535
    assert np.mean(np.array(values) > end) <= 0.0011
    assert np.mean(np.array(values) < start) <= 0.0051


def test_a_few_bright_or_dark_pixels_do_not_set_the_window():
    assert window_of(np.arange(10_000, dtype=np.uint16)) == (49, 9989)


def commit_strategy():
    frames = st.lists(
        st.tuples(
            st.integers(0, 2**40), st.integers(0, 2**62), st.integers(0, 2**64 - 1), st.integers(0, 65535),
            st.integers(0, 65535), st.floats(0, 65535), st.integers(0, 2**24),
        ),
        max_size=5,
    )  # fmt: skip
    return st.builds(
        lambda block, rows, worker, device: Commit(
            block,
            tuple(Frame(*r[:3]) for r in rows),
            tuple(FrameStats(*r[3:]) for r in rows),
            worker,
            1,
            2,
            3,
            ("0", "projections/xy"),
            device=device,
        ),
        st.integers(0, 10**9),
        frames,
        st.text(max_size=9),
        st.text(max_size=9),
    )


@settings(deadline=None, max_examples=100)
@given(commit_strategy(), st.data())
def test_commit_records_come_back_exactly_or_are_called_damaged(commit, data):
    written = commit_to_bytes(commit)
    assert commit_from_bytes(written, commit.block, "x") == commit
    with pytest.raises(DamagedRecordError):
        commit_from_bytes(written, commit.block + 1, "x")
    with pytest.raises(DamagedRecordError):
        commit_from_bytes(written[: data.draw(st.integers(0, len(written) - 2))], commit.block, "x")
    bad = bytearray(written)
    bad[data.draw(st.integers(0, len(bad) - 2))] ^= 1 << data.draw(st.integers(0, 6))
    try:
        read = commit_from_bytes(bytes(bad), commit.block, "x")
    except DamagedRecordError:
        return
    # Blanks, and letters' case inside an escape, mean nothing in JSON.
    assert read == commit


@settings(deadline=None, max_examples=150)
@given(plans, st.data())
def test_every_expected_frame_is_accounted_for_once(plan, data):
    stored = data.draw(st.sets(st.integers(0, plan.frames - 1)))
    spans = data.draw(st.lists(st.tuples(st.integers(0, plan.frames + 3), st.integers(0, 5)), max_size=4))
    losses = [Loss(first, first + n, "agent", f"reason {k}") for k, (first, n) in enumerate(spans)]
    ledger = account(plan, Ranges.of(stored), losses[:2], losses[2:])
    lost = list(itertools.chain.from_iterable(range(k.first, k.last + 1) for k in ledger.losses))
    assert sorted([*stored, *lost]) == list(range(plan.frames))
    for k in ledger.losses:
        first = next((x for x in losses if x.first <= k.first <= x.last), None)
        assert (k.where, k.why) == ((first.where, first.why) if first else ("store", "no commit record"))
