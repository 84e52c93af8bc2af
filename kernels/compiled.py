"""How every CPU form is compiled: serial, without the interpreter lock, IEEE arithmetic."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Final

import numba
import xxhash

#: A row-sized piece that an entry calls. Not cached by itself: it is compiled into the entries that use it.
piece: Final = numba.njit(nogil=True, error_model="numpy")

#: What Python calls, kept on disk between processes. Never ``parallel=True``: workers bring their own threads, and
#: Numba's workqueue layer ends the process when two threads enter it. Never ``fastmath``: results must be exact.
entry: Final = numba.njit(nogil=True, error_model="numpy", cache=True)


def sources(*modules: ModuleType) -> str:
    """Give a digest of the text of modules, for entries that call pieces of them to close over.

    Numba decides by an entry's own file alone whether the machine code that it keeps is current. Closed-over values are
    part of its key, so a changed piece never meets old machine code.

    Parameters
    ----------
    *modules : module
        All whose pieces or constants are compiled into the entry, directly or through other pieces.

    Returns
    -------
    str
    """
    digest = xxhash.xxh3_64()
    for module in modules:
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()
