"""The meter, on processes that use up what is known."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from octostream.benchmarks.meter import Meter
from octostream.stream.errors import OctostreamError


def burn(cpu_s):
    end = time.process_time() + cpu_s
    while time.process_time() < end:
        sum(range(1000))


@pytest.fixture
def neighbour():
    """A process that burns 0.3 s of CPU for each line it gets, and says when it has."""
    code = (
        "import sys, time\n"
        "for line in sys.stdin:\n"
        "    end = time.process_time() + 0.3\n"
        "    while time.process_time() < end: pass\n"
        "    print('done', flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()


def ask(process):
    process.stdin.write("burn\n")
    process.stdin.flush()
    assert process.stdout.readline() == "done\n"


def test_cpu_time_is_that_of_the_block_by_part(neighbour):
    ask(neighbour)
    with Meter({"here": [os.getpid()], "there": [neighbour.pid]}) as meter:
        ask(neighbour)
        ask(neighbour)
        burn(0.1)
    assert 0.55 <= meter.cpu_s["there"] <= 0.75
    assert 0.08 <= meter.cpu_s["here"] <= 0.4
    assert meter.seconds >= 0.6


def test_memory_is_the_peak_of_the_sum(neighbour):
    ask(neighbour)
    with Meter({"there": [neighbour.pid]}) as alone:
        pass
    with Meter({"here": [os.getpid()]}) as before:
        pass
    size = 200 * 2**20
    with Meter({"here": [os.getpid()], "there": [neighbour.pid]}) as meter:
        block = np.ones(size, np.uint8)
        burn(0.3)
        del block
    assert meter.peak_bytes == pytest.approx(before.peak_bytes + alone.peak_bytes + size, abs=40 * 2**20)


def end(process, error=None):
    with Meter({"there": [process.pid]}):
        process.kill()
        process.wait()
        if error is not None:
            raise error


def test_a_process_that_ends_meanwhile_is_an_error(neighbour):
    with pytest.raises(OctostreamError, match=f"process {neighbour.pid} ended"):
        end(neighbour)


def test_an_error_inside_is_not_hidden(neighbour):
    with pytest.raises(ZeroDivisionError):
        end(neighbour, ZeroDivisionError())
