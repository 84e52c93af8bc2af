"""Names that become paths: checked before anything touches the disk."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ..stream.errors import NameRefusedError

SUFFIX = ".ome.zarr"
#: A store is never deeper than this below the data folder: investigation, visit, store.
DEPTHS = (2, 3)

_ALLOWED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
#: Windows reserves these whatever follows the first dot, and facilities share their disks with Windows machines.
_RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(10))}


def check_name(kind: str, name: str) -> str:
    """Give a name back if it may become a part of a path.

    Parameters
    ----------
    kind : str
        What is named, for the message: "run", "investigation".
    name : str
        1 to 100 of ``A-Z a-z 0-9 . _ -``, a letter or digit first, no dot last, no two dots in a row.

    Returns
    -------
    str
        ``name``.

    Raises
    ------
    NameRefusedError
        Saying which rule it breaks.
    """
    if not _ALLOWED.fullmatch(name):
        why = "it has 1 to 100 letters, digits, dots, dashes or underscores and starts with a letter or digit"
    elif ".." in name or name.endswith("."):
        why = "it has no two dots in a row and no dot at its end"
    elif name.split(".")[0].upper() in _RESERVED:
        why = "Windows reserves this word"
    else:
        return name
    raise NameRefusedError(f"{kind} name {_shown(name)} is not allowed ({why})", "choose another name")


def check_folder(kind: str, name: str) -> str:
    """Give a name back if it may become a folder of stores, which nobody takes for a store.

    Raises
    ------
    NameRefusedError
        It is not allowed, or ends as stores do.
    """
    if check_name(kind, name).lower().endswith(SUFFIX):
        what = f"{kind} name {_shown(name)} is not allowed (only stores end in {SUFFIX})"
        raise NameRefusedError(what, "choose another name")
    return name


def store_path(data: Path, investigation: str, name: str, visit: str = "") -> Path:
    """Give the path of a run's store, inside the data folder whatever the names are.

    Parameters
    ----------
    data : Path
        The data folder.
    investigation, visit : str
        Checked by `check_folder`; an investigation without visits has no folder for one.
    name : str
        Of the run, checked by `check_name`.

    Returns
    -------
    Path
        ``data/<investigation>/<name>.ome.zarr`` or ``data/<investigation>/<visit>/<name>.ome.zarr``, absolute; it
        need not exist.

    Raises
    ------
    NameRefusedError
        A name is illegal, or a part of the path below ``data`` is a symbolic link and could lead outside.
    """
    parts = [data.absolute() / check_folder("investigation", investigation)]
    if visit:
        parts.append(parts[-1] / check_folder("visit", visit))
    parts.append(parts[-1] / (check_name("run", name) + SUFFIX))
    for part in parts:
        if part.is_symlink():
            raise NameRefusedError(f"{part} is a symbolic link", "replace it by a real folder or choose another name")
    return parts[-1]


def data_folders(store: Path) -> Sequence[Path]:
    """Give the folders that may be the data folder of a store, the nearest first."""
    return [store.parents[depth - 1] for depth in DEPTHS if len(store.parents) >= depth]


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 60 else name[:57] + "...")
