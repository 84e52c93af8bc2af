"""Derived products that are to be made anew: out of the way at once, removed where nobody waits for it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..stream.model import Product
from .durable import sync
from .layout import DOT_FOLDER, array_path


def forgotten_folder(store: Path) -> Path:
    """Give the folder of what nobody needs any more."""
    return store / DOT_FOLDER / "forgotten"


def forget(store: Path, products: Iterable[Product]) -> None:
    """Take the shards of some products away; durable at return, however many there are.

    Raises
    ------
    OSError
        As the system says; the same call may be repeated.
    """
    forgotten_folder(store).mkdir(exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=forgotten_folder(store)))
    for product in products:
        folder = store / array_path(product)
        if (folder / "c").exists():
            (folder / "c").rename(aside / product.path.replace("/", "-"))
        sync(folder)  # also where nothing was left: an earlier try may have failed between the two


def remove_forgotten(store: Path) -> None:
    """Remove what was taken away; that may take long, and what a kill leaves of it the next call removes.

    Raises
    ------
    OSError
        As the system says.
    """
    with suppress(FileNotFoundError):
        shutil.rmtree(forgotten_folder(store))
