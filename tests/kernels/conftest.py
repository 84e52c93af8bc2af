"""Devices that the GPU forms are proven on: the emulator everywhere, a CUDA device where there is one."""

from __future__ import annotations

import pytest

from .cuda_emulator.accelerator import EmulatedAccelerator


def _cuda():
    from octostream.kernels.device_choice import choose_device

    if choose_device("auto") is None:
        pytest.skip("no CUDA device")
    import cupy
    from octostream.kernels.accelerator import CupyAccelerator

    return CupyAccelerator(cupy)


@pytest.fixture(scope="session", params=["emulated", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request):
    """Give what makes a device; its argument is the order of blocks and threads, which only the emulator obeys."""
    if request.param == "emulated":
        return EmulatedAccelerator
    accelerator = _cuda()
    return lambda order=0: accelerator
