"""Reading the parts of committed blocks: damage is told from a disk that is away, or shut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts
from numpy.typing import NDArray

from ..stream.errors import StoreError
from .failure import failure, refuse_blame, said
from .runfile import run_file


class DamagedPartError(StoreError):
    """A committed block's part is not what was written, or is gone: no later look will find it."""


def read_part(store: Path, array: ts.TensorStore, shard: Path, where: tuple[slice, ...], what: str) -> NDArray[Any]:
    """Read what committed blocks have of an array, whether readers can see it yet or not.

    Parameters
    ----------
    store : Path
    array : tensorstore.TensorStore
        Opened with its planned bounds.
    shard : Path
        That holds it. Where the shard of a sparse product is gone, tensorstore would give zeros.
    where : tuple of slice
        In committed blocks.
    what : str
        For messages, as in "level 0 of block 3".

    Raises
    ------
    DamagedPartError
        It is not there, or damaged, as `verify` has it: a disk that cannot give what it has is damage, too.
    StoreError
        The disk is away, or the system does not let this process read; the same call may be repeated.
    """
    try:
        shard.stat()
        return np.asarray(array[where].read().result())
    except (OSError, ValueError) as cause:
        doing = f"read {what} of {store}"
        refuse_blame(cause, doing)
        error = failure(doing, cause)
        with said(f"look into {store}"):
            there = run_file(store).exists()
        if not there:
            raise error from cause
        raise DamagedPartError(error.what, error.remedy) from cause
