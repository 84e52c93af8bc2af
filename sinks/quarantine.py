"""The place for damaged files: they are kept for people to look at, and what they cost is written down first."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from ..stream.ledger import Ledger
from ..stream.model import Loss
from .checked import check_digest, with_digest
from .durable import json_bytes, make_folders, remove_durably, sync, write_durably
from .layout import DOT_FOLDER
from .leftovers import QUARANTINE

_NOTE = "losses.json"


class Quarantine:
    """Files of a store that were found damaged, under the paths that they had.

    Everything in it is durable before anything else may change, and doing the same again changes nothing: whoever
    repairs a store may be killed at any instant and begin again.

    Parameters
    ----------
    store : Path
        The store; nothing is made in it until there is something to keep.
    """

    def __init__(self, store: Path) -> None:
        self.store = store
        self.folder = store / DOT_FOLDER / QUARANTINE

    def keep(self, file: Path) -> None:
        """Keep a file as it is now; where it lies, another may then take its place. Nothing there: nothing to keep.

        Raises
        ------
        OSError
            As the system says.
        """
        if not file.exists() and not file.is_symlink():
            return
        place, found = self._place(file)
        if found:
            return
        make_folders(place.parent)
        if file.is_dir() and not file.is_symlink():
            file.rename(place)
            sync(file.parent)
        else:
            try:
                os.link(file, place, follow_symlinks=False)
            except OSError:  # file systems without links exist; and where there is no space, the copy fails too
                write_durably(place, file.read_bytes())
        sync(place.parent)

    def take(self, file: Path) -> None:
        """Move a file here.

        Raises
        ------
        OSError
            As the system says.
        """
        self.keep(file)
        remove_durably(file)

    def files(self) -> list[str]:
        """Give the paths in the store that the files here had; a second file from the same place ends with ``~2``."""
        found = (Path(place, name) for place, _, names in os.walk(self.folder) for name in names)
        return sorted(str(f.relative_to(self.folder)) for f in found if f != self.folder / _NOTE)

    def note(self, losses: Iterable[Loss]) -> None:
        """Write down which frames are about to be lost, beside those noted before."""
        expected = 1 + max((loss.last for loss in losses), default=0)
        known = Ledger(expected, losses=tuple(self.losses()))
        noted = known.lose(losses).losses
        if noted != known.losses:
            make_folders(self.folder)
            write_durably(self.folder / _NOTE, json_bytes(with_digest({"lost": [asdict(k) for k in noted]})))

    def losses(self) -> list[Loss]:
        """Give the frames that were noted as lost; a damaged note tells nothing."""
        try:
            content = json.loads((self.folder / _NOTE).read_bytes())
            check_digest(content, set())
            return [Loss(**loss) for loss in content["lost"]]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return []

    def clear_unfinished(self) -> None:
        """Remove what a killed process did not finish copying."""
        for place, _, names in os.walk(self.folder):
            for name in names:
                if name.startswith(".") and name.endswith(".tmp"):
                    Path(place, name).unlink()

    def _place(self, file: Path) -> tuple[Path, bool]:
        """Give where a file belongs, and whether it is there already."""
        name = self.folder / file.relative_to(self.store)
        place, k = name, 1
        while place.exists() or place.is_symlink():
            if _same(file, place):
                return place, True
            k += 1
            place = name.with_name(f"{name.name}~{k}")
        return place, False


def _same(a: Path, b: Path) -> bool:
    if a.is_dir() or b.is_dir():
        return False
    if os.path.samestat(a.lstat(), b.lstat()):
        return True
    try:
        return a.read_bytes() == b.read_bytes()
    except OSError:
        return False
