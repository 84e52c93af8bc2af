"""What went wrong when the data of runs were to be handed over, until it goes well."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ..durable import json_bytes, write_durably


class OwnerNotes:
    """Failures by run, in a small file beside the registry.

    Parameters
    ----------
    registry : Path
        The registry's file.
    """

    def __init__(self, registry: Path) -> None:
        self._file = registry.parent / "owners.json"

    def read(self) -> Mapping[str, str]:
        """Give what went wrong, by run."""
        try:
            return {str(run): str(why) for run, why in json.loads(self._file.read_bytes()).items()}
        except (OSError, ValueError, AttributeError):  # none yet, or not what was written: it is only a hint
            return {}

    def note(self, run: str, why: str) -> None:
        """Note why a command failed; nothing for one that went well."""
        notes = dict(self.read())
        if notes.get(run, "") == why:
            return
        notes.pop(run, None)
        write_durably(self._file, json_bytes({**notes, **({run: why} if why else {})}))
