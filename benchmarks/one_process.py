"""Contestants whose work is one process (with what that starts)."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .contestant import Launcher
from .measurement import Measurement


@dataclass(frozen=True)
class OneProcess:
    """A contestant by the role of its process.

    Attributes
    ----------
    name, what : str
        See ``Contestant``.
    launcher : Launcher
        Starts the process.
    role : str
        What the process does.
    options : mapping
        What that role is told besides.
    package : str
        Import name of an optional library that it needs.
    """

    name: str
    what: str
    launcher: Launcher
    role: str
    options: Mapping[str, Any] = field(default_factory=dict)
    package: str = ""

    @property
    def missing(self) -> str:
        """Say how to get the library, where it is not installed."""
        if not self.package or importlib.util.find_spec(self.package) is not None:
            return ""
        return 'not installed: pip install "octostream[bench]"'

    def run(self, folder: Path, seconds: float) -> Measurement:
        """Work; see ``Contestant.run``."""
        return self.launcher.measure(self.role, folder, seconds, **self.options)
