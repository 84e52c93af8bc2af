"""The raw frames that a store keeps, one at a time, each checked against its commit record."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray

from ..stream.errors import SourceError, StoreError
from ..stream.model import Commit, Frame
from .arrays import context, open_planned
from .commits import DamagedRecordError, read_commit
from .failure import said
from .layout import plane_region
from .runfile import read_run
from .sealfile import read_sealed_ledger

RAW = "raw/0"


class RawFrames:
    """The raw frames of a sealed run.

    Parameters
    ----------
    store : Path
        Of the run.

    Attributes
    ----------
    run : Run

    Raises
    ------
    StoreError
        There is no octostream store, it keeps no raw frames, or its run is not over.
    """

    def __init__(self, store: Path) -> None:
        stored = read_run(store)
        raw = [product for product in stored.products if product.path == RAW]
        if not raw:
            raise StoreError(f"{store} keeps no raw frames", "give the recording itself, or record with --keep-raw")
        ledger = read_sealed_ledger(store)
        if ledger is None:
            raise StoreError(f"the run of {store} is not over", "wait for its end; `octostream recover` closes it")
        self.run = stored.run
        self._store = store
        self._losses = ledger.losses
        self._product = raw[0]
        self._array = open_planned(store, stored.run.plan, raw[0], context(2))
        self._commit: Commit | None = None

    def read(self, number: int, out: NDArray[np.uint16]) -> Frame:
        """Read a frame.

        Parameters
        ----------
        number : int
            Frame number.
        out : uint16 (y, x), counts
            Where to put it; C-contiguous.

        Returns
        -------
        Frame
            As it was recorded.

        Raises
        ------
        SourceError
            It was lost, or is damaged.
        """
        for loss in self._losses:
            if loss.first <= number <= loss.last:
                what = f"frame {number} was lost when it was recorded, at {loss.where}: {loss.why}"
                raise SourceError(what)
        frame = self._recorded(number)
        try:
            with said(f"read frame {number} of {self._store / RAW}"):
                out[...] = self._array[plane_region(self.run.plan, self._product, number)].read().result()
        except StoreError as error:
            raise SourceError(error.what, error.remedy) from error
        if xxhash.xxh3_64_intdigest(out.data) != frame.checksum:
            what = f"frame {number} of {self._store / RAW} is not what was recorded"
            raise SourceError(what, "run octostream verify on the store")
        return frame

    def _recorded(self, number: int) -> Frame:
        block = self.run.plan.blocks.block_of(number).number
        try:
            if self._commit is None or self._commit.block != block:
                self._commit = read_commit(self._store, block)
            return next(frame for frame in self._commit.frames if frame.number == number)
        except (OSError, DamagedRecordError, StopIteration) as error:
            what = f"frame {number} of {self._store} has no intact commit record"
            raise SourceError(what, "run octostream verify on the store") from error
