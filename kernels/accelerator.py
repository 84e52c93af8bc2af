"""What a GPU form needs of its device: an array module, launches of kernels by name, and arrays back in host memory."""

from __future__ import annotations

from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .cuda_errors import device_errors
from .cuda_reductions import KERNELS, OPTIONS, source

#: Threads of a block where a kernel takes one pixel, or one short run of them, after another.
THREADS: Final = 256


class Accelerator(Protocol):
    """A device, or what stands in for one in tests. The forms use nothing else of it."""

    @property
    def xp(self) -> Any:
        """The array module: CuPy, or NumPy."""
        ...

    def launch(self, kernel: str, grid: tuple[int, ...], block: tuple[int, ...], *arguments: Any) -> None:
        """Launch a kernel after what was launched before.

        Parameters
        ----------
        kernel : str
            One of `KERNELS` of `cuda_reductions`.
        grid, block : tuple of int
            Blocks of the launch and threads of a block, x first.
        *arguments
            Arrays of ``xp``, and NumPy scalars of exactly the types that the kernel takes.
        """
        ...

    def to_device(self, array: NDArray[Any], out: Any) -> None:
        """Copy an array of host memory to an array of ``xp`` of the same type and shape, both C-contiguous.

        The array of the host may be changed at once.
        """
        ...

    def to_host(self, array: Any, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Wait for an array of ``xp`` and give a copy of it in host memory.

        Parameters
        ----------
        array : array of ``xp``
        out : array, optional
            What takes the copy, C-contiguous, of the same type and shape; None: a new one.
        """
        ...


class CupyAccelerator:
    """The present CUDA device, through CuPy and on its present stream.

    Kernels are compiled here, and kept on disk by CuPy.

    Parameters
    ----------
    cupy : module
        Given by who found that it can be loaded.
    """

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy
        self._module = cupy.RawModule(code=source(), options=OPTIONS, name_expressions=KERNELS)
        with device_errors("cannot compile the kernels"):
            self._module.compile()

    @property
    def xp(self) -> Any:
        """CuPy."""
        return self._cupy

    def launch(self, kernel: str, grid: tuple[int, ...], block: tuple[int, ...], *arguments: Any) -> None:
        """Launch a kernel on CuPy's present stream."""
        with device_errors("was lost"):
            self._module.get_function(kernel)(grid, block, arguments)

    def to_device(self, array: NDArray[Any], out: Any) -> None:
        """Copy an array on CuPy's present stream; CUDA has read pageable memory when the call returns."""
        with device_errors("was lost"):
            out.set(array)

    def to_host(self, array: Any, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Wait for an array and give a copy of it in host memory."""
        with device_errors("was lost"):
            return array.get(out=out)


def check_counts(array: Any, shape: tuple[int | None, ...]) -> None:
    """Check that an array of counts is what a kernel may be given, as `check_array` does."""
    check_array(array, shape, np.uint16)


def check_array(array: Any, shape: tuple[int | None, ...], dtype: DTypeLike) -> None:
    """Check that an array is what a kernel may be given.

    Parameters
    ----------
    array : array of a device
    shape : tuple
        Its sizes; None for any from 1 on.
    dtype : type

    Raises
    ------
    ValueError
        If it is not C-contiguous, of this type and shape.
    """
    fits = array.ndim == len(shape) and all(
        size > 0 and planned in (None, size) for size, planned in zip(array.shape, shape, strict=True)
    )
    if array.dtype != dtype or not fits or not array.flags.c_contiguous:
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"the array is {array.dtype} {array.shape}, not C-contiguous {np.dtype(dtype)} ({wanted})")


def blocks_for(count: int, each: int) -> int:
    """Give how many blocks of ``each`` cover ``count``."""
    return -(-count // each)
