"""What CuPy says when the device is lost, full or refuses, told as the one error that everybody here knows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ..stream.errors import DeviceLostError

#: Packages that define the errors of CUDA and of the libraries beside it: for transforms, for products of matrices.
#: Known by where they are defined, for to name the classes those libraries would have to be loaded.
_CUPY: Final = ("cupy", "cupy_backends")


@contextmanager
def device_errors(what: str) -> Iterator[None]:
    """Turn errors of the device into ``DeviceLostError``; every use of CuPy lies in such a context.

    Parameters
    ----------
    what : str
        What the GPU did, for the message: ``"was lost"``.

    Raises
    ------
    DeviceLostError
        The device is lost, full, or refuses a kernel.
    """
    try:
        yield
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _CUPY:
            raise
        reason = str(error).strip().partition("\n")[0]
        raise DeviceLostError(f"the GPU {what} ({reason})", "see nvidia-smi and dmesg") from error
