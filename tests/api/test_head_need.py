"""What the head says that it needs for runs is what it takes."""

import subprocess
import sys

import pytest
from octostream.api.head_need import BLOCK_BYTES, FRAME_BYTES, RUN_BYTES, HeadNeed, check_memory, head_need
from octostream.api.settings import Settings
from octostream.kernels.recipe import Recipe
from octostream.kernels.reduction import plan_reduction
from octostream.stream.errors import MemoryRefusedError
from octostream.stream.model import Plan

SHORT, LONG = Plan((10, 1, 1, 8, 8)), Plan((2_000_000, 1, 1, 8, 8))
FRAMES = 2_000_000
#: Prints how many bytes more were resident at most for the table of so many frames.
TABLE = f"""
import tempfile
from pathlib import Path
import numpy as np
from octostream.sinks.frames_table import frames_table, write_frames_table

rng = np.random.default_rng(1)

def most():
    return next(int(x.split()[1]) for x in open("/proc/self/status") if x.startswith("VmHWM")) * 1024

def write(frames):
    with tempfile.TemporaryDirectory() as folder:
        table = frames_table(frames, [])
        for name, column in table.items():
            noise = column.view("uint8")  # what cannot be compressed takes most
            for at in range(0, len(noise) if name != "state" else 0, 2**20):
                noise[at : at + 2**20] = rng.integers(0, 256, len(noise[at : at + 2**20]), "uint8")
        write_frames_table(Path(folder), table)

write(1000)
before = most()
write({FRAMES})
print(most() - before)
"""


def need(plan, overrides=()):
    return head_need(plan, plan_reduction(Recipe.load("lightsheet", ["pyramid.until=4", *overrides]), plan))


def test_the_limit_is_that_of_the_largest_seal_and_one_run_more():
    short, long = need(SHORT), need(LONG)
    whole = RUN_BYTES + FRAME_BYTES * FRAMES + BLOCK_BYTES * len(LONG.blocks)
    assert whole == long.open_bytes + long.seal_bytes
    check_memory(short, [long], 10**8, 0, 10**8 + whole)
    check_memory(long, [], 10**8, 0, 10**8 + whole)
    with pytest.raises(MemoryRefusedError, match="with this run the head needs"):
        check_memory(short, [long], 10**8 + 1, 0, 10**8 + whole)
    with pytest.raises(MemoryRefusedError) as refused:
        check_memory(long, [short], 10**8, 0, 10**8 + whole - 2 * 2**20)
    assert refused.value.remedy == "raise memory_mib by at least 2, or plan fewer frames"


def test_what_open_runs_may_come_to_take_counts_and_nothing_twice():
    small, large = HeadNeed(10, 0, 0, 1), HeadNeed(1000, 990, 0, 5)
    check_memory(small, [large, large], 1500, 100, 2100 + 10 + 5)
    check_memory(small, [large, large], 2100, 100, 2100 + 10 + 5)
    for used, limit in ((1500, 2114), (2101, 2115)):
        with pytest.raises(MemoryRefusedError):
            check_memory(small, [large, large], used, 100, limit)
    with pytest.raises(MemoryRefusedError, match="coarser level"):
        check_memory(large, [], 1, 1, 1000)


def test_an_hour_of_events_at_100_hz_fits_at_the_default_settings():
    plan = Plan((360_000, 1, 1, 2048, 2048), rate_hz=100.0)
    hour = head_need(plan, plan_reduction(Recipe.load("lightsheet-functional"), plan))
    limit = Settings.model_fields["memory_mib"].default * 2**20
    check_memory(hour, [], 200 * 2**20, 200 * 2**20, limit)
    with pytest.raises(
        MemoryRefusedError, match=r"plan fewer frames, or let the series make fewer rows \(events.most\)"
    ):
        check_memory(hour, [hour], 200 * 2**20, 200 * 2**20, limit)


def test_the_rows_of_series_count_until_the_run_is_sealed():
    plan = Plan((1000, 2, 3, 16, 16), rate_hz=60.0)
    few, many = (need(plan, ["events=true", f"events.most={2 * n}", "events.bin=2"]) for n in (1, 65))
    row = 2 * 8 + 2 * 4 + 3 * 4
    assert many.open_bytes - few.open_bytes == many.rows_bytes - few.rows_bytes == 64 * row * plan.frames
    assert many.seal_bytes - few.seal_bytes == 64 * row * plan.frames
    plain, focus = need(plan), need(plan, ["focus=true"])
    assert focus.open_bytes == plain.open_bytes
    assert focus.seal_bytes - plain.seal_bytes > 2 * 8 * plan.frames


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_the_table_of_frames_takes_no_more():
    ran = subprocess.run([sys.executable, "-c", TABLE], capture_output=True, text=True, timeout=120, check=True)
    taken = int(ran.stdout)
    assert 37 * FRAMES < taken < FRAME_BYTES * FRAMES
