"""The token by which a run knows its own agent again, kept beside the run for a head that restarts."""

from __future__ import annotations

from pathlib import Path

from ..sinks.durable import write_durably
from ..stream.errors import StoreError


def write_token(store: Path, token: str) -> None:
    """Keep the token, readable by the service alone.

    Raises
    ------
    StoreError
        The store takes nothing.
    """
    try:
        write_durably(_file(store), token.encode(), mode=0o600)
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
