from pathlib import Path

import pytest
from octostream.benchmarks.workload import Workload

LATTICE = Path(__file__).parents[2].parent / "shared" / "data" / "lattice_lightsheet_raw.tif"


@pytest.fixture
def lattice():
    if not LATTICE.exists():
        pytest.skip("the recorded stack is not here (shared/data)")
    return LATTICE


@pytest.fixture
def workload(lattice):
    return Workload(lattice, (256, 256))
