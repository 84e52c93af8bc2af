"""Names that become paths: checked before anything touches the disk."""

from __future__ import annotations

import re
from pathlib import Path

from ..stream.errors import NameRefusedError

SUFFIX = ".ome.zarr"

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


def store_path(data: Path, investigation: str, name: str) -> Path:
    """Give the path of a run's store, inside the data folder whatever the names are.

    Parameters
    ----------
    data : Path
        The data folder.
    investigation, name : str
        Checked by `check_name`.

    Returns
    -------
    Path
        ``data/<investigation>/<name>.ome.zarr``, absolute; it need not exist.

    Raises
    ------
    NameRefusedError
        A name is illegal, or a part of the path below ``data`` is a symbolic link and could lead outside.
    """
    folder = data.absolute() / check_name("investigation", investigation)
    store = folder / (check_name("run", name) + SUFFIX)
    for part in (folder, store):
        if part.is_symlink():
            raise NameRefusedError(f"{part} is a symbolic link", "replace it by a real folder or choose another name")
    return store


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 60 else name[:57] + "...")
