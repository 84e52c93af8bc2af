"""Key files: made for their owner alone, read only while they still are; the allow-list, replaced as a whole.

A tier's folder holds ``server.key`` (its own pair) and ``allowed.toml`` (who may connect). Keys are in use from the
moment when the allow-list exists, even if everybody has been revoked since.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from .curve import new_pair
from .errors import OctostreamError, UsageError
from .keys import AllowList, InstrumentKey, KeyPair, Permit, Secret, check_key

_T = TypeVar("_T")

SERVER, ALLOWED = "server.key", "allowed.toml"
#: Larger files are none of ours.
MAX_BYTES = 2**20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ANY = "any"
_NOTES = {
    "instrument": "# Secret. Whoever has this file can record as this instrument.",
    "server": "# Secret. Whoever has this file can pretend to be this tier. Instruments' files carry its public key.",
    "allowed": "# Who may record, and where. `octostream keys allow` and `octostream keys revoke` change it.",
}


class KeyFileError(OctostreamError):
    """A key file is missing, unsafe, or not what it should be; the text never has anything from inside it."""

    exit_code = 2


def in_use(folder: Path) -> bool:
    """Tell whether a tier with this folder asks for keys."""
    return (folder / ALLOWED).exists()


# --- the tier ---------------------------------------------------------------------------------------------------


def read_server(folder: Path) -> KeyPair:
    """Read the tier's own pair.

    Raises
    ------
    KeyFileError
        It is missing, unsafe or damaged.
    """
    return _read(folder / SERVER, _pair)


def ensure_folder(folder: Path) -> None:
    """Make the folder of keys, for its owner alone, if there is none yet.

    Raises
    ------
    KeyFileError
        It cannot be made.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise KeyFileError(f"the folder {folder} cannot be made ({error.strerror})", "see what is there") from error


def ensure_server(folder: Path) -> KeyPair:
    """Give the tier's own pair, made if there is none yet.

    Raises
    ------
    KeyFileError
        It cannot be made, or is unsafe or damaged.
    """
    if not (folder / SERVER).exists():
        _create(folder / SERVER, [_NOTES["server"], *_pair_lines(new_pair())])
    return read_server(folder)


def read_allowed(folder: Path) -> AllowList:
    """Read the allow-list; where there is none, nobody is allowed.

    Raises
    ------
    KeyFileError
        It is unsafe or damaged.
    """
    return _read(folder / ALLOWED, _allow_list) if in_use(folder) else AllowList()


def write_allowed(folder: Path, allowed: AllowList) -> None:
    """Replace the allow-list; readers see the old one or the new one, whole.

    Raises
    ------
    KeyFileError
        It cannot be written; the old one stays.
    """
    lines = [_NOTES["allowed"]]
    for permit in allowed.permits:
        where = _ANY if permit.investigations is None else list(permit.investigations)
        lines += ["", f'[instrument."{permit.instrument}"]', f'key = "{permit.key}"']
        lines += [f"investigations = {json.dumps(where)}"]
    fresh = folder / f".{ALLOWED}.{secrets.token_hex(4)}"
    _create(fresh, lines)
    try:
        fresh.replace(folder / ALLOWED)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise KeyFileError(f"{folder / ALLOWED} cannot be replaced ({error.strerror})", "see its rights") from error
    _sync_folder(folder)


# --- the instrument ---------------------------------------------------------------------------------------------


def create_instrument(file: Path, key: InstrumentKey) -> None:
    """Write the one file that an instrument needs.

    Raises
    ------
    KeyFileError
        It is there already, or cannot be written.
    """
    named = [f'instrument = "{key.instrument}"', f'tier = "{key.tier}"']
    _create(file, [_NOTES["instrument"], *named, *_pair_lines(key.pair)])


def read_instrument(file: Path) -> InstrumentKey:
    """Read an instrument's key file.

    Raises
    ------
    KeyFileError
        It is missing, unsafe or damaged.
    """
    return _read(file, lambda found: InstrumentKey(_name(found["instrument"]), _pair(found), check_key(found["tier"])))


# --- what stands in the files -----------------------------------------------------------------------------------


def _pair_lines(pair: KeyPair) -> list[str]:
    return [f'public = "{pair.public}"', f'secret = "{pair.secret.reveal().hex()}"']


def _pair(found: dict[str, Any]) -> KeyPair:
    return KeyPair(check_key(found["public"]), Secret(bytes.fromhex(check_key(found["secret"]))))


def _allow_list(found: dict[str, Any]) -> AllowList:
    allowed = AllowList()
    for name, entry in found.get("instrument", {}).items():
        where = entry["investigations"]
        permitted = None if where == _ANY else tuple(_name(n) for n in _sequence(where))
        allowed = allowed.allow(Permit(_name(name), check_key(entry["key"]), permitted))
    return allowed


def _sequence(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("a list is needed")
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError("a name is needed")
    return value


# --- the disk ---------------------------------------------------------------------------------------------------


def _create(file: Path, lines: list[str]) -> None:
    """Write a new file that nobody but its owner can read at any moment."""
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyFileError(f"there is a file {file} already", "remove it first, or write elsewhere") from None
    except OSError as error:
        raise KeyFileError(f"{file} cannot be written ({error.strerror})", "see the folder") from error
    with os.fdopen(handle, "w", encoding="ascii") as stream:
        stream.write("\n".join(lines) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    _sync_folder(file.parent)


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # elsewhere a folder cannot be opened
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _read(file: Path, understand: Callable[[dict[str, Any]], _T]) -> _T:
    """Read a file of keys; errors name the file and never anything from inside it."""
    try:
        with file.open("rb") as stream:
            _check_rights(file, os.fstat(stream.fileno()))
            text = stream.read(MAX_BYTES)
    except FileNotFoundError:
        raise KeyFileError(f"there is no key file {file}", "make one with `octostream keys new NAME`") from None
    except OSError as error:
        raise KeyFileError(f"key file {file} cannot be read ({error.strerror})", "see its owner and rights") from None
    try:
        return understand(tomllib.loads(text.decode()))
    except (ValueError, KeyError, TypeError, AttributeError, UsageError):
        # Without the cause: its text may quote the file.
        raise KeyFileError(f"key file {file} is damaged", "restore it, or make a new one") from None


def _check_rights(file: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise KeyFileError(f"key file {file} is no regular file", "give the key file itself")
    if os.name != "posix":
        return
    if found.st_uid != os.geteuid():
        raise KeyFileError(f"key file {file} belongs to another user", "copy it, and give the copy")
    if found.st_mode & 0o077:
        raise KeyFileError(f"others may read or change key file {file}", f"chmod 600 {file}")
