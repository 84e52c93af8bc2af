"""The devices that the GPU lane is tested on: an emulated one everywhere, a real one where there is one."""

from __future__ import annotations

import pytest

from .cuda_emulator.device import EmulatedDevice


def real_device(seed=0):
    """Give the machine's GPU, or skip."""
    from octostream.kernels.device_choice import choose_device

    device = choose_device("auto")
    if device is None:
        pytest.skip("no CUDA device")
    return device


#: For tests that take a function which makes a device.
on_every_device = pytest.mark.parametrize(
    "device_of",
    [pytest.param(EmulatedDevice, id="emulated"), pytest.param(real_device, id="cuda", marks=pytest.mark.gpu)],
)
