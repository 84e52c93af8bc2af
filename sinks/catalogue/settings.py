"""Where the catalogue is and how things are called there; no secret among it."""

from __future__ import annotations

import os
import stat
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ...stream.errors import UsageError
from .owner_command import PLACEHOLDERS, unknown_placeholders

USERNAME_VARIABLE = "OCTOSTREAM_ICAT_USERNAME"
PASSWORD_VARIABLE = "OCTOSTREAM_ICAT_PASSWORD"


class CatalogueSettings(BaseModel):
    """The ICAT of the facility; where none is set the local registry is all there is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(description="Address of the ICAT server, https://icat.example.org.")
    facility: str = Field(min_length=1, max_length=255, description="Name of the Facility there.")
    authenticator: str = Field("db", min_length=1, description="Mnemonic of the authenticator.")
    credentials: Path | None = Field(
        None,
        description="TOML file with username and password, readable by its owner alone; "
        f"without it {USERNAME_VARIABLE} and {PASSWORD_VARIABLE} are taken.",
    )
    instrument: str = Field("", max_length=255, description="Instrument of runs whose agent has no key of its own.")
    raw_type: str = Field("raw", min_length=1, max_length=255, description="DatasetType of frames as they came.")
    reduced_type: str = Field("processed", min_length=1, max_length=255, description="DatasetType of what is reduced.")
    raw_shards: bool = Field(False, description="Whether every shard of raw frames becomes a Datafile of its own.")
    timeout_s: float = Field(20.0, gt=0, le=600, description="An answer that takes longer is given up, and asked for.")
    grown_s: float = Field(60.0, ge=1, description="A run that grows is brought up to date this often.")
    check_certificate: bool = Field(True, description="Whether the server must prove who it is.")

    owner_command: tuple[str, ...] = Field(
        (),
        description="Program and arguments that hand the data of a run to the users of its investigation; see "
        "docs/icat.md for what may stand in braces. Nothing is run where none is set.",
    )
    owner_s: float = Field(60.0, gt=0, le=3600, description="An owner_command that takes longer is killed.")

    def type_of(self, part: str) -> str:
        """Give the DatasetType of ``"raw"`` frames or of what is ``"reduced"``."""
        return self.raw_type if part == "raw" else self.reduced_type

    @field_validator("owner_command")
    @classmethod
    def _owner_command(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := unknown_placeholders(value):
            raise ValueError(
                f"{{{unknown[0]}}} means nothing: there are {', '.join(map('{{{}}}'.format, PLACEHOLDERS))}"
            )
        return value

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("write an address like https://icat.example.org")
        if parts.username or parts.password:
            raise ValueError("name and password do not belong into the address: put them into the file of credentials")
        return value


@dataclass(frozen=True)
class Credentials:
    """Who logs in.

    Attributes
    ----------
    username : str
    password : str
        Never shown.
    """

    username: str
    password: str = field(repr=False)


def read_credentials(settings: CatalogueSettings) -> Credentials:
    """Read who logs in, from the file or from the environment.

    Raises
    ------
    UsageError
        Nothing is given, the file cannot be used, or others than its owner may read it.
    """
    if settings.credentials is None:
        name, password = os.environ.get(USERNAME_VARIABLE, ""), os.environ.get(PASSWORD_VARIABLE, "")
        if not name or not password:
            what = f"nobody to log in to ICAT as: {USERNAME_VARIABLE} and {PASSWORD_VARIABLE} are not set"
            raise UsageError(what, "set them, or give a file of credentials")
        return Credentials(name, password)
    file = settings.credentials
    try:
        with file.open("rb") as content:
            if os.fstat(content.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise UsageError(f"others may read the credentials in {file}", f"chmod 600 {file}")
            given = tomllib.load(content)
    except OSError as cause:
        why = cause.strerror or str(cause)
        raise UsageError(f"cannot read the credentials in {file} ({why})", "give another file") from cause
    except ValueError:  # without its cause, which quotes the file
        raise UsageError(f"the credentials in {file} are not TOML", 'write username = "…" and password = "…"') from None
    name, password = given.get("username"), given.get("password")
    if not isinstance(name, str) or not isinstance(password, str) or not name or set(given) != {"username", "password"}:
        raise UsageError(f"{file} does not say who logs in", 'write username = "…" and password = "…", no more')
    return Credentials(name, password)
