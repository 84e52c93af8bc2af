"""Settings of the service: one frozen tree from file, environment and flags, passed in, never fetched."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from ..sinks.catalogue.settings import CatalogueSettings
from ..stream.errors import UsageError
from ..stream.link import host_of


def default_workers() -> int:
    """Give the workers that suit this machine: each keeps about three cores busy at full rate."""
    return max(1, min(4, (os.cpu_count() or 1) // 4))


def keys_of(data: Path) -> Path:
    """Give the usual folder of keys of a data directory."""
    return data / ".octostream" / "keys"


class Settings(BaseSettings):
    """What a service is told.

    Every field may come from a TOML file (``--config``), from the environment (``OCTOSTREAM_DATA``, …) or from a flag;
    the later ones win.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="OCTOSTREAM_", env_ignore_empty=True, env_nested_delimiter="__"
    )

    data: Path = Field(Path("octostream-data"), description="Directory of the stores and of the run registry.")
    http: str = Field("127.0.0.1:8642", description="Address of the page and of the HTTP interface, HOST:PORT.")
    ingest: str = Field("tcp://127.0.0.1:5642", description="Address that agents open runs at, tcp://HOST:PORT.")
    workers: int = Field(default_factory=default_workers, ge=1, le=64, description="Worker processes.")
    window_mib: int = Field(64, ge=1, le=4096, description="MiB that an agent may have under way to one worker.")
    memory_mib: int = Field(
        1536,
        ge=1,
        le=2**20,
        description="MiB of memory that one worker, and the head, may use; runs that need more wait or are refused.",
    )
    reserve_mib: int = Field(
        512, ge=0, description="MiB of disk (at most 2 % of it) that are never filled; below it nothing is committed."
    )
    agent_timeout_s: float = Field(
        60.0, gt=0, description="A run whose agent is silent for so long is sealed as incomplete."
    )
    device: Literal["auto", "cpu", "gpu"] = Field(
        "auto", description="What workers reduce on: auto takes a GPU where one can be used, gpu insists on one."
    )
    drain_s: float = Field(10.0, gt=0, description="Time to make received blocks durable when shutting down.")
    keys_dir: Path | None = Field(None, description="Folder of the tier's keys; DATA/.octostream/keys if not given.")
    technique: str = Field("free", description="Technique of runs that name none: which metadata are asked for.")
    techniques_dir: Path | None = Field(
        None, description="Folder of the tier's own techniques; DATA/.octostream/techniques if not given."
    )
    worker_port: int = Field(
        0, ge=0, le=65535, description="Port of the first worker, the others take the next ones; 0 takes free ports."
    )

    catalogue: CatalogueSettings | None = Field(
        None, description="The facility's ICAT, a table of its own; without it runs are in the local registry alone."
    )

    @field_validator("http")
    @classmethod
    def _http(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise ValueError("write HOST:PORT, for example 127.0.0.1:8642")
        return value

    @field_validator("ingest")
    @classmethod
    def _ingest(cls, value: str) -> str:
        try:
            host_of(value)
        except UsageError as error:
            raise ValueError(str(error)) from error
        return value

    @property
    def keys(self) -> Path:
        """Folder of the tier's keys."""
        return (self.keys_dir or keys_of(self.data)).absolute()

    @property
    def techniques(self) -> Path:
        """Folder of the tier's own techniques."""
        return (self.techniques_dir or self.data / ".octostream" / "techniques").absolute()

    @classmethod
    def load(cls, config: Path | None, flags: dict[str, Any]) -> Settings:
        """Put file, environment and flags together.

        Parameters
        ----------
        config : Path, optional
            TOML file.
        flags : dict
            From the command line; None means not given.

        Raises
        ------
        UsageError
            Naming the setting and what is wrong with it.
        """
        if config is not None and not config.is_file():
            raise UsageError(f"there is no settings file {config}", "give an existing TOML file to --config")

        class Sourced(cls):
            @classmethod
            def settings_customise_sources(
                cls,
                settings_cls: type[BaseSettings],
                init_settings: PydanticBaseSettingsSource,
                env_settings: PydanticBaseSettingsSource,
                dotenv_settings: PydanticBaseSettingsSource,
                file_secret_settings: PydanticBaseSettingsSource,
            ) -> tuple[PydanticBaseSettingsSource, ...]:
                file = (TomlConfigSettingsSource(settings_cls, config),) if config else ()
                return (init_settings, env_settings, *file)

        try:
            made = Sourced(**{k: v for k, v in flags.items() if v is not None})
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(p) for p in first["loc"])
            known = ", ".join(cls.model_fields)
            remedy = f"the settings are {known}" if first["type"] == "extra_forbidden" else "correct it"
            raise UsageError(f"setting {name!r}: {first['msg']}", remedy) from error
        except ValueError as error:
            raise UsageError(f"settings file {config} is not TOML ({error})", "correct it") from error
        return cls.model_construct(**{name: getattr(made, name) for name in cls.model_fields})
