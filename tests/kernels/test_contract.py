"""Every step that acts on blocks keeps the contract that steps of other packages are held to."""

import pytest
from octostream.kernels.contract import StepContract
from octostream.kernels.steps import find_step, step_names

STEPS = [name for name in step_names() if find_step(name).kind != "derived"]
PROMISES = [name for name in dir(StepContract) if name.startswith("test_")]


@pytest.mark.parametrize("promise", PROMISES)
@pytest.mark.parametrize("name", STEPS)
def test_a_step_of_octostream_keeps_its_promises(name, promise):
    contract = type(name, (StepContract,), {"step": find_step(name), "examples": 8})()
    getattr(contract, promise)()
