"""``octostream keys``: who may record at a tier, and in which investigations."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ...sinks.names import check_name
from ...stream.curve import new_pair
from ...stream.errors import UsageError
from ...stream.key_files import (
    create_instrument,
    ensure_folder,
    ensure_server,
    in_use,
    read_allowed,
    read_instrument,
    write_allowed,
)
from ...stream.keys import InstrumentKey, Permit, check_key
from ..output import say_json
from ..settings import Settings

NAME = "keys"
SUFFIX = ".key"

app = typer.Typer(
    name=NAME,
    help="Who may record: make, allow, list and revoke the keys of instruments. Run as the user that runs the service.",
    no_args_is_help=True,
)

Data = Annotated[Path | None, typer.Option(help="Data directory of the tier.", show_default="octostream-data")]
Config = Annotated[Path | None, typer.Option(metavar="FILE", help="Settings of the tier, TOML.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")]


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the instrument.")],
    folder: Annotated[Path, typer.Option("--dir", help="Where the key file goes.")] = Path(),
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Make an instrument's key file, NAME.key: copy it to the instrument, and allow it here."""
    keys = _folder(data, config)
    file = folder / (check_name("instrument", name) + SUFFIX)
    with _alone(keys):
        made = InstrumentKey(name, new_pair(), ensure_server(keys).public)
        create_instrument(file, made)
    if as_json:
        say_json({"instrument": name, "file": str(file), "public": made.pair.public})
        return
    console = _console()
    console.print(f"key file   {file}   (secret: copy it to the instrument, keep no other copy)", markup=False)
    console.print(f"public     {made.pair.public}")
    console.print(f"allow it   octostream keys allow {file} --investigation NAME", markup=False)
    console.print(f"record     octostream acquire SOURCE --to tcp://HOST:PORT --key {file.name}", markup=False)


@app.command("allow")
def allow(
    key: Annotated[str, typer.Argument(metavar="FILE|KEY", help="A key file, or a public key.")],
    instrument: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose key it is; the key file says it, too.")
    ] = None,
    investigation: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Where it may record; may be repeated.")
    ] = None,
    anywhere: Annotated[bool, typer.Option("--any-investigation", help="It may record in all.")] = False,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Allow an instrument to record in these investigations and no others; replaces what it was allowed before."""
    if bool(investigation) == anywhere:
        what = "say where it may record"
        raise UsageError(what, "give --investigation NAME, once or more, or --any-investigation")
    where = None if anywhere else tuple(check_name("investigation", i) for i in investigation or ())
    permit = Permit(*_known(key, instrument), where)
    keys = _folder(data, config)
    with _alone(keys):
        ensure_server(keys)
        first = not in_use(keys)
        write_allowed(keys, read_allowed(keys).allow(permit))
    if as_json:
        say_json(_plain(permit))
        return
    console = _console()
    console.print(f"{permit.instrument} may record in {_where(permit)}", markup=False)
    if first:
        console.print("keys are in use from the next start of the service on: nobody gets in without one then")


@app.command("list")
def listing(data: Data = None, config: Config = None, as_json: Json = False) -> None:
    """Show which instruments are allowed, and where."""
    keys = _folder(data, config)
    permits, used = read_allowed(keys).permits, in_use(keys)
    if as_json:
        say_json({"in_use": used, "instruments": [_plain(p) for p in permits]})
        return
    console = _console()
    for permit in permits:
        console.print(f"{permit.instrument:<16} {permit.key}  {_where(permit)}", markup=False)
    if permits:
        return
    if used:
        console.print("no instrument is allowed: nobody can record")
    else:
        console.print("keys are not in use: everybody on this machine can record")


@app.command("revoke")
def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the instrument.")],
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Allow an instrument nothing any more; holds within seconds, also for a run that is recording."""
    keys = _folder(data, config)
    with _alone(keys):
        write_allowed(keys, read_allowed(keys).revoke(name))
    if as_json:
        say_json({"revoked": name})
    else:
        _console().print(f"{name} is allowed nothing any more", markup=False)


def _console() -> Console:
    return Console(highlight=False, soft_wrap=True)


def _folder(data: Path | None, config: Path | None) -> Path:
    return Settings.load(config, {"data": data}).keys


def _known(key: str, instrument: str | None) -> tuple[str, str]:
    """Give instrument and public key, of a file or of what was typed."""
    if not Path(key).is_file():
        if instrument is None:
            raise UsageError("a key without its file has no name", "give --instrument NAME, or the key file")
        return check_name("instrument", instrument), check_key(key)
    read = read_instrument(Path(key))
    if instrument not in (None, read.instrument):
        raise UsageError(f"{key} is the key of {read.instrument!r}", f"make one for {instrument!r}")
    return read.instrument, read.pair.public


def _where(permit: Permit) -> str:
    return "any investigation" if permit.investigations is None else ", ".join(permit.investigations)


def _plain(permit: Permit) -> dict[str, object]:
    where = None if permit.investigations is None else list(permit.investigations)
    return {"instrument": permit.instrument, "public": permit.key, "investigations": where}


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one command at a time change a folder of keys."""
    ensure_folder(folder)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
