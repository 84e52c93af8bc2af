"""Quantisation on a GPU: counts to codes and back by the tables of `Quantiser`."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from .accelerator import THREADS, Accelerator, blocks_for
from .quantise import Quantise, plan_quantiser

#: Values that a thread has.
_SPAN: Final = 8
_NAMES: Final = {np.dtype(np.uint8): "u8", np.dtype(np.uint16): "u16"}


class GpuQuantiser:
    """Quantises arrays of a device, as `Quantiser`, bit for bit.

    Parameters
    ----------
    accelerator : Accelerator
    parameters : Quantise

    Raises
    ------
    RecipeError
        If the code of 65535 counts does not fit 16 bits.
    """

    def __init__(self, accelerator: Accelerator, parameters: Quantise) -> None:
        self._accelerator = accelerator
        tables = plan_quantiser(parameters)
        self.codes, self.counts = (accelerator.xp.asarray(table) for table in (tables.codes, tables.counts))

    def quantise(self, pixels: Any, out: Any) -> None:
        """Quantise an array.

        Parameters
        ----------
        pixels : uint16 of the device, any shape, C-contiguous, counts
            Read only.
        out : dtype of ``codes``, same shape, C-contiguous
            Result.

        Raises
        ------
        ValueError
            If the arrays are not so.
        """
        self._apply(self.codes, pixels, np.dtype(np.uint16), out)

    def restore(self, codes: Any, out: Any) -> None:
        """Bring an array of codes back to whole counts.

        Parameters
        ----------
        codes : dtype of ``codes``, any shape, C-contiguous
            Read only.
        out : uint16, same shape, C-contiguous, counts
            Result.

        Raises
        ------
        ValueError
            If the arrays are not so.
        """
        self._apply(self.counts, codes, self.codes.dtype, out)

    def _apply(self, table: Any, taken: Any, kind: np.dtype[Any], out: Any) -> None:
        if taken.dtype != kind or out.dtype != table.dtype or taken.shape != out.shape:
            what = f"{taken.dtype} {taken.shape} to {out.dtype} {out.shape}"
            raise ValueError(f"{what} is not {kind} to {table.dtype} of one shape")
        if not (taken.flags.c_contiguous and out.flags.c_contiguous):
            raise ValueError("the arrays are not C-contiguous")
        if taken.size:
            kernel = f"look_up<{_NAMES[taken.dtype]}, {_NAMES[out.dtype]}>"
            grid = (blocks_for(taken.size, _SPAN * THREADS),)
            self._accelerator.launch(kernel, grid, (THREADS,), table, taken, np.int64(taken.size), out)
