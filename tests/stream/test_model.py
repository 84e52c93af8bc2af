from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octostream.stream.errors import UsageError
from octostream.stream.model import BLOCK_BYTES, BLOCK_FRAMES, BLOCK_SECONDS, STACK_BYTES, Plan, stack_limit

plans = st.builds(
    Plan,
    shape=st.tuples(
        st.integers(1, 40), st.integers(1, 4), st.integers(1, 300), st.integers(1, 3000), st.integers(1, 3000)
    ),
    rate_hz=st.none() | st.floats(0.5, 1000),
    whole_stacks=st.booleans(),
)


@settings(deadline=None)  # a plan may have millions of frames
@given(plans)
def test_blocks_cut_the_plan_without_gap_or_overlap(plan):
    expected = 0
    for number, block in enumerate(plan.blocks):
        assert block.number == number
        assert block.first == expected
        assert plan.index(block.first) == block.origin
        expected += block.count
    assert expected == plan.frames
    assert len(plan.blocks) == number + 1


@given(plans, st.data())
def test_frame_finds_its_block(plan, data):
    frame = data.draw(st.integers(0, plan.frames - 1))
    block = plan.blocks.block_of(frame)
    assert frame in block.frames
    t, c, z = plan.index(frame)
    assert (t * plan.shape[1] + c) * plan.shape[2] + z == frame
    assert all(o <= i < o + e for i, o, e in zip((t, c, z), block.origin, block.extent, strict=True))
    assert block.number in plan.blocks.of_stack(t, c)


@given(plans)
def test_blocks_are_bounded(plan):
    most = plan.blocks[0].count
    assert most <= BLOCK_FRAMES
    if plan.whole_stacks and most == plan.shape[2]:
        assert most == 1 or most * plan.frame_bytes <= STACK_BYTES
        return
    assert most == 1 or most * plan.frame_bytes <= BLOCK_BYTES
    assert most == 1 or plan.rate_hz is None or most <= plan.rate_hz * BLOCK_SECONDS


@given(plans)
def test_stack_is_split_only_where_it_must(plan):
    blocks = plan.blocks
    if not blocks.splits_stacks:
        assert all(b.extent[2] == plan.shape[2] for b in (blocks[0], blocks[len(blocks) - 1]))
    assert not (blocks.splits_stacks and plan.whole_stacks and plan.shape[2] <= stack_limit(plan))


@given(plans)
def test_who_wants_whole_stacks_gets_other_blocks_only_where_stacks_would_be_split(plan):
    plain, whole = replace(plan, whole_stacks=False), replace(plan, whole_stacks=True)
    if not plain.blocks.splits_stacks:
        assert whole.blocks == plain.blocks
    elif not whole.blocks.splits_stacks:
        assert whole.blocks.step == (1, 1, plan.shape[2])


def test_60_planes_of_a_large_sensor_are_a_block_and_200_are_not():
    assert Plan((2, 1, 60, 2048, 2048)).blocks.step == (1, 1, 30)
    assert Plan((2, 1, 60, 2048, 2048), whole_stacks=True).blocks.step == (1, 1, 60)
    assert Plan((2, 1, 60, 2048, 2048), rate_hz=5, whole_stacks=True).blocks.step == (1, 1, 60)
    assert Plan((2, 1, 200, 2048, 2048), whole_stacks=True).blocks.step == (1, 1, 29)
    assert stack_limit(Plan((1, 1, 1, 2048, 2048))) == 128


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape": (1, 1, 1, 0, 5)},
        {"shape": (1, 1, 5, 5)},
        {"shape": (10**7 + 1, 1, 1, 1, 1)},
        {"shape": (1, 1, 1, 2**14, 2**14)},
        {"rate_hz": 0.0},
        {"rate_hz": float("nan")},
        {"axes": "xy"},
        {"axes": "zty x"},
        {"channels": ("a", "b")},
    ],
)
def test_impossible_plans_are_refused(wrong):
    with pytest.raises(UsageError):
        Plan(**{"shape": (1, 1, 1, 5, 5), **wrong})
