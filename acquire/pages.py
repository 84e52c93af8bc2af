"""Memory that begins at a page, as direct I/O needs it: what lies so is written and read without a copy."""

from __future__ import annotations

import numpy as np

#: Direct I/O wants offsets, lengths and addresses at multiples of this; it is the page of every machine we know.
PAGE_BYTES = 4096


def page_memory(nbytes: int) -> memoryview:
    """Give zeroed memory that begins at a page; NumPy's own begins 16 bytes behind one.

    Parameters
    ----------
    nbytes : int
        How much.

    Returns
    -------
    memoryview
        Bytes, writable.
    """
    memory = np.zeros(nbytes + PAGE_BYTES, np.uint8)
    begin = -memory.ctypes.data % PAGE_BYTES
    return memory[begin : begin + nbytes].data
