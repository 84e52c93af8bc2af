"""The token by which a run knows its own agent again, kept beside the run for a head that restarts."""

from __future__ import annotations

import os
from pathlib import Path

from ..stream.errors import StoreError


def write_token(store: Path, token: str) -> None:
    """Keep the token, readable by the service alone.

    Raises
    ------
    StoreError
        The store takes nothing.
    """
    try:
        handle = os.open(_file(store), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(token)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StoreError(f"the token of {store} cannot be kept ({error.strerror})", "see the disk") from error


def read_token(store: Path) -> str:
    """Give the token.

    Raises
    ------
    StoreError
        It is not there.
    """
    try:
        return _file(store).read_text()
    except OSError as error:
        raise StoreError(f"the token of {store} cannot be read ({error.strerror})", "see the disk") from error


def _file(store: Path) -> Path:
    return store / ".octostream" / "token"
