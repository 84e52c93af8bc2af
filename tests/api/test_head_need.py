"""What the head says that it needs for runs is what it takes."""

import subprocess
import sys

import pytest
from octostream.api.head_need import FRAME_BYTES, RUN_BYTES, check_memory, seal_bytes
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


def test_the_limit_is_that_of_the_largest_seal_and_one_run_more():
    need = RUN_BYTES + seal_bytes(LONG)
    check_memory(SHORT, 0, [LONG], 1000, 1000 + need)
    check_memory(LONG, 0, [], 1000, 1000 + need)
    with pytest.raises(MemoryRefusedError, match="with this run the head needs"):
        check_memory(SHORT, 0, [LONG], 1001, 1000 + need)
    with pytest.raises(MemoryRefusedError) as refused:
        check_memory(LONG, 0, [SHORT], 1000, 1000 + need - 2 * 2**20)
    assert refused.value.remedy == "raise memory_mib by at least 2, or plan fewer frames"


def test_what_follows_the_run_counts_too():
    need = RUN_BYTES + seal_bytes(SHORT) + 2**30
    check_memory(SHORT, 2**30, [], 1000, 1000 + need)
    with pytest.raises(MemoryRefusedError, match="coarser level"):
        check_memory(SHORT, 2**30, [], 1001, 1000 + need)


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_the_table_of_frames_takes_no_more():
    ran = subprocess.run([sys.executable, "-c", TABLE], capture_output=True, text=True, timeout=120, check=True)
    taken = int(ran.stdout)
    assert 37 * FRAMES < taken < FRAME_BYTES * FRAMES
