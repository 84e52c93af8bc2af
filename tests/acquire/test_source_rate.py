"""Sources leave most of a core to the rest of the agent."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import numpy as np
import pytest
from octostream.acquire.source import Source, SourceOptions
from octostream.acquire.sources.opening import open_source

AIM_HZ = 150.0


def fill_s(source: Source) -> float:
    """Median processor time of a fill, seconds: what other processes do at the same time does not count."""
    ring = np.ones((8, *source.plan.frame_shape), np.uint16)
    taken = []
    for number in range(60):
        start = time.thread_time()
        source.fill(number, ring[number % len(ring)])
        taken.append(time.thread_time() - start)
    return statistics.median(taken)


@pytest.mark.rate
@pytest.mark.parametrize("z", [50, 1])
def test_the_simulator_holds_the_rate_at_full_size(z: int) -> None:
    source = open_source(f"simulated:size=2048x2048,z={z},t=60")
    assert fill_s(source) < 1 / AIM_HZ
    source.close()


@pytest.mark.rate
def test_a_tiled_recording_holds_the_rate_at_full_size(lattice_file: Path) -> None:
    source = open_source(str(lattice_file), SourceOptions(tile=(2048, 2048)))
    assert fill_s(source) < 0.5 / AIM_HZ
    source.close()
