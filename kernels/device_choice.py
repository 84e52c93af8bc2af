"""Which device the lane runs on, and why not another."""

from __future__ import annotations

from importlib import import_module
from typing import Literal

from ..stream.errors import DeviceLostError, NoDeviceError
from .device import Description, Device

Wish = Literal["auto", "cpu", "gpu"]
#: What runs where there is no GPU, or none is wanted.
CPU = Description("cpu", "cpu", 0, "", "numba")


def choose_device(wish: Wish) -> Device | None:
    """Open the GPU, if one is wished for and there.

    Parameters
    ----------
    wish : str
        ``"cpu"``: never a GPU. ``"auto"``: a GPU where one can be used. ``"gpu"``: a GPU or an error.

    Returns
    -------
    Device or None
        None: the CPU.

    Raises
    ------
    NoDeviceError
        A GPU is wished for and cannot be used; says why.
    """
    if wish == "cpu":
        return None
    try:
        return _open()
    except NoDeviceError:
        if wish == "gpu":
            raise
        return None


def describe(device: Device | None) -> Description:
    """Say what a choice comes to."""
    return CPU if device is None else device.describe()


def _open() -> Device:
    try:
        cupy = import_module("cupy")  # late and optional: it takes a second, and most machines have no GPU
    except ImportError as error:
        what = f"there is no GPU to use: CuPy cannot be loaded ({error})".partition("\n")[0]
        raise NoDeviceError(what, "install octostream[cuda12] or octostream[cuda13], or ask for auto or cpu") from None
    from .cupy_device import CupyDevice

    try:
        if cupy.cuda.runtime.getDeviceCount():
            return CupyDevice(cupy)
        why = "the driver knows of none"
    except cupy.cuda.runtime.CUDARuntimeError as error:
        why = str(error)
    except DeviceLostError as error:
        why = error.what
    raise NoDeviceError(f"there is no GPU to use: {why}", "check nvidia-smi, or ask for auto or cpu")
