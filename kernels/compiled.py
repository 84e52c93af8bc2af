"""How every CPU form is compiled: serial, without the interpreter lock, IEEE arithmetic."""

from __future__ import annotations

from typing import Final

import numba

#: A row-sized piece that an entry calls. Not cached by itself: it is compiled into the entries that use it.
piece: Final = numba.njit(nogil=True, error_model="numpy")

#: What Python calls, kept on disk between processes. Never ``parallel=True``: workers bring their own threads, and
#: Numba's workqueue layer ends the process when two threads enter it. Never ``fastmath``: results must be exact.
entry: Final = numba.njit(nogil=True, error_model="numpy", cache=True)
