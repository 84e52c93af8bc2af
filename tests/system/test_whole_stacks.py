"""A recipe that needs whole stacks has them, also where one lasts longer than a block usually does."""

import json
from pathlib import Path

import numpy as np
import pytest
import zarr
from octostream.sinks.runfile import read_run
from octostream.sinks.verify import verify

from .conftest import acquire

pytestmark = pytest.mark.system


def test_a_stack_of_two_seconds_is_one_block(shared_service):
    source = "simulated:size=96x96,z=40,t=2"
    code, agent = acquire(shared_service, source, "--rate", "20", "--recipe", "lightsheet-compact", "--name", "long")
    assert code == 0, agent.err
    store = Path(agent.json()["store"])
    plan = read_run(store).run.plan
    assert (plan.whole_stacks, plan.blocks.step) == (True, (1, 1, 40))
    assert verify(store).problems == ()
    root = zarr.open_group(store, mode="r")
    assert root["labels/foreground/0"].shape == (2, 1, 40, 48, 48)
    assert np.asarray(root["tables/foreground/frame"][...]).tolist() == [0, 40]
    assert json.loads((store / "zarr.json").read_bytes())["attributes"]["octostream"]["plan"]["whole_stacks"] is True
